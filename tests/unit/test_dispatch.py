"""The dispatcher: every question gets one callback; nothing leaks when batches fail, time out or are cancelled."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from consumer.analysis.task import Kind, Task
from consumer.engines.contract import Answer, Deliver, Fault, Prepared
from consumer.errors import DeadLetter, EngineDown, RetryLater
from consumer.hooks.events import Event, Hooks, What
from consumer.pipeline.dispatch import Ask, Death, Dispatcher, DispatchRules
from consumer.pipeline.quarantine import Quarantine
from consumer.state_dir import StateDirectory
from consumer.stream.admission import Admission
from consumer.stream.batcher import Batcher, BatchLimits
from consumer.stream.breaker import BreakerRules
from consumer.stream.record import Record
from consumer.stream.retry import RetryPolicy
from consumer.stream.work import Rank
from schemas.base import Sentiment
from tests.integration.scripted import ScriptedEngine
from tests.unit.records import FakeRecord

BUDGET = 1000
NEVER = BreakerRules(share=1)


@dataclass(eq=False)
class Bench:
    """A dispatcher with its parts in view, and what came back."""

    engine: ScriptedEngine
    timeout: float = 5.0
    breaker: BreakerRules = NEVER
    attempts: int = 3
    pause: float = 0.001
    closed: bool = False
    answers: list[str] = field(default_factory=list)
    failures: list[tuple[str, str, int]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Small limits, short pauses."""
        loop = asyncio.get_running_loop()
        self.admission = Admission(2, BUDGET)
        self.batcher: Batcher[Ask] = Batcher(BatchLimits(BUDGET, 2, 5, linger=0.001, linger_max=0.005))
        rules = DispatchRules(
            BUDGET, self.timeout, RetryPolicy(self.attempts, base=self.pause, cap=10 * self.pause), self.breaker
        )
        hooks = Hooks([self.events.append])
        quarantine = Quarantine(StateDirectory(Path("unused"), "unused"), hooks)
        self.dispatcher = Dispatcher(
            self.engine, self.batcher, self.admission, rules, quarantine, hooks, clock=loop.time, random=lambda: 0.5
        )

    def ask(
        self,
        text: str,
        answered: Callable[[Answer, Prepared], None] | None = None,
        *,
        deadline: float | None = None,
        budget: int | None = None,
        rank: Rank = Rank.NORMAL,
        record: Record | None = None,
    ) -> None:
        """Submit one review."""
        self.dispatcher.submit(
            Ask(
                Task(Kind.SENTIMENT, "ko", (text,)),
                "1",
                rank,
                self,
                answered or (lambda _answer, _prepared: self.answers.append(text)),
                lambda fault, attempts: self.failures.append((text, fault.reason, attempts)),
                name=text,
                deadline=deadline,
                budget=budget,
                record=record,
            )
        )

    def told(self, what: What) -> list[Event]:
        """Events of a kind."""
        return [event for event in self.events if event.what is what]

    @asynccontextmanager
    async def running(self) -> AsyncIterator["asyncio.Task[Death]"]:
        """The dispatcher at work while inside."""
        task = asyncio.create_task(self.dispatcher.run())
        try:
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, ExceptionGroup):
                await task

    async def until(self, count: int) -> None:
        """Wait for so many callbacks."""
        async with asyncio.timeout(10):
            while len(self.answers) + len(self.failures) < count:
                await asyncio.sleep(0.001)

    async def until_told(self, what: What) -> None:
        """Wait for an event."""
        async with asyncio.timeout(10):
            while not any(event.what is what for event in self.events):
                await asyncio.sleep(0.001)

    async def until_both_permits_are_taken(self) -> None:
        """Wait until the engine holds as many batches as it may."""
        async with asyncio.timeout(5):
            while self.admission.batches_running < 2:
                await asyncio.sleep(0.001)

    def is_idle(self) -> bool:
        """Whether every permit and token is back and nothing waits."""
        return self.admission.tokens_in_flight == self.admission.batches_running == len(self.batcher) == 0


async def test_every_question_is_answered_once() -> None:
    """More than one batch holds, in at most so many batches at once."""
    bench = Bench(ScriptedEngine())
    async with bench.running():
        for n in range(100):
            bench.ask(f"r{n}")
        await bench.until(100)
        await asyncio.sleep(0.01)
        assert sorted(bench.answers) == sorted(f"r{n}" for n in range(100))
        assert bench.is_idle()
    loads = [(event.count, *event.values) for event in bench.events if event.what is What.LOAD]
    assert max(running for _, _, running, _ in loads) <= 2
    assert all(tokens <= ceiling for tokens, ceiling, _, _ in loads)


async def test_an_invalid_answer_is_asked_for_once_more_with_a_stricter_instruction() -> None:
    """And is a dead letter when it stays invalid, under its own reason."""
    asked: list[Task] = []

    def script(task: Task, _time: int) -> None:
        asked.append(task)

    bench = Bench(ScriptedEngine(script))

    def refuse(_answer: Answer, _prepared: Prepared) -> None:
        raise RetryLater("off the schema", "invalid_answer")

    async with bench.running():
        bench.ask("bad", refuse)
        bench.ask("good")
        await bench.until(2)
    assert bench.failures == [("bad", "invalid_answer", 2)]
    assert bench.answers == ["good"]
    assert bench.engine.asked == {"bad": 2, "good": 1}
    assert [(task.reviews, task.strict) for task in asked if task.reviews == ("bad",)] == [
        (("bad",), False),
        (("bad",), True),
    ]


async def test_a_batch_that_hangs_is_cut_and_its_items_tried_again() -> None:
    """Nothing waits for ever: at the time-out the unanswered ones are retried, then fail as `engine_timeout`."""
    engine = ScriptedEngine()
    engine.gate.clear()
    bench = Bench(engine, timeout=0.02)
    async with bench.running():
        bench.ask("slow")
        await bench.until(1)
        await asyncio.sleep(0.01)
        assert bench.failures == [("slow", "engine_timeout", 3)]
        assert bench.is_idle()


async def test_a_bug_in_an_engine_costs_only_its_batch(caplog: pytest.LogCaptureFixture) -> None:
    """An exception nobody foresaw is logged with its traceback, and its items fail after their attempts."""

    class Broken(ScriptedEngine):
        async def run(self, *_: object) -> None:
            raise ZeroDivisionError("a bug")

    bench = Bench(Broken())
    async with bench.running():
        bench.ask("r")
        await bench.until(1)
        await asyncio.sleep(0.01)
        assert bench.failures == [("r", "engine_error", 3)]
        assert bench.is_idle()
    assert any("ZeroDivisionError" in str(vars(line).get("raised")) for line in caplog.records)


async def test_a_bug_in_using_an_answer_leaves_no_record_unfinished(caplog: pytest.LogCaptureFixture) -> None:
    """Its record fails as `internal_error`, its neighbours go on."""
    bench = Bench(ScriptedEngine())

    def bug(_answer: Answer, _prepared: Prepared) -> None:
        raise ZeroDivisionError

    async with bench.running():
        bench.ask("bad", bug)
        bench.ask("good")
        await bench.until(2)
    assert bench.failures == [("bad", "internal_error", 1)]
    assert bench.answers == ["good"]
    assert any("ZeroDivisionError" in str(vars(line).get("raised")) for line in caplog.records)


async def test_what_is_delivered_before_a_failure_counts() -> None:
    """What succeeded is not run again because a neighbour failed."""

    class HalfWay(ScriptedEngine):
        async def run(self, batch: object, deliver: Deliver) -> None:
            assert isinstance(batch, list)
            self.asked.update(p.task.reviews[0] for p in batch)
            deliver(0, self._answer(batch[0].task))
            raise RetryLater("the rest of the batch is lost")

    engine = HalfWay()
    bench = Bench(engine)
    async with bench.running():
        bench.ask("a")
        bench.ask("b")
        await bench.until(2)
    assert bench.answers == ["a", "b"]
    assert bench.failures == []


async def test_a_dead_engine_ends_the_run_and_nothing_is_blamed() -> None:
    """No attempt is counted, no item fails, every permit is back."""

    class Dead(ScriptedEngine):
        async def run(self, *_: object) -> None:
            raise EngineDown("gone")

    bench = Bench(Dead())
    async with bench.running() as task:
        bench.ask("r")
        death = await asyncio.wait_for(task, 5)
    assert (str(death.error), death.in_flight, death.answered) == ("gone", 1, False)
    assert (bench.answers, bench.failures) == ([], [])
    assert bench.admission.tokens_in_flight == 0


async def test_answers_for_an_owner_that_has_closed_are_ignored() -> None:
    """Waiting or in flight, retried or not."""

    def script(_task: Task, _time: int) -> Answer | Fault:
        return DeadLetter("x", "too late")

    engine = ScriptedEngine(script)
    engine.gate.clear()
    bench = Bench(engine)
    async with bench.running():
        for n in range(20):
            bench.ask(f"r{n}")
        async with asyncio.timeout(5):
            while not engine.most_at_once:
                await asyncio.sleep(0.001)
        bench.closed = True
        engine.gate.set()
        async with asyncio.timeout(5):
            while not bench.is_idle():
                await asyncio.sleep(0.001)
    assert (bench.answers, bench.failures) == ([], [])


async def test_a_text_that_cannot_be_prepared_is_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Its neighbours of the same chunk are answered."""

    class Picky(ScriptedEngine):
        async def prepare(self, tasks: Sequence[Task], budget: int) -> list[Prepared]:
            if any("poison" in task.reviews for task in tasks):
                raise UnicodeError("a tokenizer's bug")
            return await super().prepare(tasks, budget)

    bench = Bench(Picky())
    async with bench.running():
        for text in ("a", "poison", "b"):
            bench.ask(text)
        await bench.until(3)
    assert sorted(bench.answers) == ["a", "b"]
    assert bench.failures == [("poison", "internal_error", 1)]
    assert "an item could not be prepared" in caplog.text
    assert "a tokenizer's bug" not in caplog.text


async def test_an_item_heavier_than_a_batch_fails_alone() -> None:
    """An engine that breaks its contract stops nobody else."""

    class Heavy(ScriptedEngine):
        async def prepare(self, tasks: Sequence[Task], budget: int) -> list[Prepared]:
            weights = [2 * budget if "heavy" in task.reviews else 5 for task in tasks]
            return [Prepared(task, n, "", 0, truncated=False) for task, n in zip(tasks, weights, strict=True)]

    bench = Bench(Heavy())
    async with bench.running():
        bench.ask("heavy")
        bench.ask("light")
        await bench.until(2)
    assert bench.answers == ["light"]
    assert bench.failures == [("heavy", "internal_error", 1)]


async def test_what_an_engine_leaves_unanswered_is_tried_again() -> None:
    """A run that returns early must not leave a record unfinished for ever."""

    class Forgetful(ScriptedEngine):
        async def run(self, batch: Sequence[Prepared], deliver: Deliver) -> None:
            self.asked["runs"] += 1
            if self.asked["runs"] > 1:
                await super().run(batch, deliver)

    bench = Bench(Forgetful())
    async with bench.running():
        bench.ask("r")
        await bench.until(1)
    assert bench.answers == ["r"]


async def test_what_waits_for_a_closed_owner_is_dropped() -> None:
    """After a rebalance the engine works for the new owners, not twice for the old ones."""
    engine = ScriptedEngine()
    engine.gate.clear()
    bench = Bench(engine)
    async with bench.running():
        for n in range(100):
            bench.ask(f"r{n}")
        await bench.until_both_permits_are_taken()
        assert len(bench.batcher)
        bench.closed = True
        bench.dispatcher.forget_closed()
        assert len(bench.batcher) == 0


async def test_cancelling_gives_every_permit_back() -> None:
    """In the middle of batches."""
    engine = ScriptedEngine()
    engine.gate.clear()
    bench = Bench(engine)
    async with bench.running():
        for n in range(20):
            bench.ask(f"r{n}")
        await bench.until_both_permits_are_taken()
    assert bench.admission.tokens_in_flight == bench.admission.batches_running == 0


async def test_what_is_late_when_its_batch_is_formed_is_never_sent() -> None:
    """It fails as expired, its batch-mates go on, and nothing of it stays behind."""
    engine = ScriptedEngine()
    engine.gate.clear()
    bench = Bench(engine)
    soon = asyncio.get_running_loop().time() + 0.1
    async with bench.running():
        for n in range(10):
            bench.ask(f"first {n}")
        await bench.until_both_permits_are_taken()
        bench.ask("late", deadline=soon)
        bench.ask("in time", deadline=soon + 60)
        bench.ask("patient")
        await asyncio.sleep(0.2)
        assert bench.failures == []
        engine.gate.set()
        await bench.until(13)
        await asyncio.sleep(0.01)
        assert bench.is_idle()
    assert bench.failures == [("late", "deadline_exceeded", 0)]
    assert engine.asked["late"] == 0
    assert engine.asked["in time"] == engine.asked["patient"] == 1


async def test_what_is_late_already_is_not_even_prepared() -> None:
    """A backlog of requests that nobody waits for costs no tokenizer."""

    class Counting(ScriptedEngine):
        async def prepare(self, tasks: Sequence[Task], budget: int) -> list[Prepared]:
            self.asked["prepared"] += len(tasks)
            return await super().prepare(tasks, budget)

    bench = Bench(Counting())
    async with bench.running():
        bench.ask("late", deadline=asyncio.get_running_loop().time() - 1)
        bench.ask("in time")
        await bench.until(2)
    assert bench.failures == [("late", "deadline_exceeded", 0)]
    assert bench.engine.asked["prepared"] == 1


async def test_an_item_is_cut_to_its_own_budget_and_its_batch_keeps_to_it() -> None:
    """The smaller of its own and the service's; who brings none has the service's."""
    seen: list[tuple[int, int]] = []

    class Watching(ScriptedEngine):
        async def run(self, batch: Sequence[Prepared], deliver: Deliver) -> None:
            seen.append((len(batch), batch[0].prefix_tokens + sum(p.own_tokens for p in batch)))
            await super().run(batch, deliver)

    bench = Bench(Watching())
    async with bench.running():
        for n in range(8):
            bench.ask(f"{n}" + "x" * 4000, budget=300 if n % 2 else 5000)
        await bench.until(8)
    assert sorted(tokens for _, tokens in seen) == [300] * 4 + [BUDGET] * 4


async def test_a_budget_that_holds_nothing_fails_its_item_with_a_reason() -> None:
    """Not as a bug of ours."""
    bench = Bench(ScriptedEngine())
    async with bench.running():
        bench.ask("small", budget=5)
        bench.ask("usual")
        await bench.until(2)
    assert bench.failures == [("small", "budget_too_small", 1)]
    assert bench.answers == ["usual"]


def hanging() -> ScriptedEngine:
    """Never answers one review."""
    return ScriptedEngine(unanswered=lambda task: task.reviews == ("hangs",))


@pytest.mark.parametrize("place", [0, 2, 4])
@pytest.mark.parametrize("attempts", [1, 3])
async def test_a_review_that_hangs_is_found_in_halves_and_is_alone_a_dead_letter(place: int, attempts: int) -> None:
    """The others of its batch are answered once each, and lose no attempt, where they have only one too."""
    bench = Bench(hanging(), timeout=0.02, attempts=attempts)
    texts = [f"r{n}" for n in range(4)]
    texts.insert(place, "hangs")
    async with bench.running():
        for text in texts:
            bench.ask(text)
        await bench.until(5)
        assert bench.is_idle()
    assert bench.failures == [("hangs", "engine_timeout", attempts)]
    assert sorted(bench.answers) == [f"r{n}" for n in range(4)]
    assert set(bench.engine.asked.values()) == {1}
    reasons = [event.reason for event in bench.events if event.what is What.BATCH_STARTED]
    assert reasons.count("apart") >= (2 if attempts > 1 else place < 4)


async def test_what_failed_together_is_dropped_with_its_owner() -> None:
    """While its halves wait, and in flight."""
    bench = Bench(hanging(), timeout=0.01)
    async with bench.running():
        for text in ("hangs", "a", "b", "c"):
            bench.ask(text)
        await bench.until_told(What.RETRY)
        bench.closed = True
        bench.dispatcher.forget_closed()
        await asyncio.sleep(0.05)
        assert bench.is_idle()
        assert not bench.dispatcher.takes_no_more
    assert (bench.answers, bench.failures) == ([], [])


BREAKER = BreakerRules(share=0.5, window=20, least=6, pause=RetryPolicy(base=0.03, cap=0.06, jitter=0))


async def test_when_most_records_fail_nothing_is_sent_but_probes_until_one_succeeds() -> None:
    """What was on its way waits and loses nothing; a success resumes, and everything is answered."""
    ill = True

    def script(_task: Task, _time: int) -> Answer | Fault | None:
        return RetryLater("broken") if ill else None

    bench = Bench(ScriptedEngine(script), breaker=BREAKER)
    async with bench.running():
        for n in range(60):
            bench.ask(f"r{n}")
        await bench.until_told(What.BREAKER)
        reason = bench.dispatcher.refusal
        assert reason == "6 of the last 6 records failed, the last: broken"
        stopped = bench.dispatcher.takes_no_more
        assert stopped
        before = len(bench.events)
        await asyncio.sleep(0.2)
        sent = [event.count for event in bench.events[before:] if event.what is What.BATCH_STARTED]
        assert set(sent) == {1}
        assert len(sent) <= 8
        assert len(bench.failures) == 5
        ill = False
        await bench.until(60)
        assert not bench.dispatcher.refusal
        assert not bench.dispatcher.takes_no_more
        assert bench.is_idle()
    assert len(bench.answers) == 55
    assert [(event.count, event.reason) for event in bench.events if event.what is What.BREAKER] == [
        (1, "engine"),
        (0, "engine"),
    ]


async def test_records_that_keep_failing_as_probes_become_dead_letters_so_that_nothing_stands_for_ever() -> None:
    """Where nothing but culprits is left, each has its attempts, one probe after another."""
    bench = Bench(
        ScriptedEngine(lambda _task, _time: RetryLater("broken")),
        breaker=BreakerRules(0.5, 20, 6, RetryPolicy(base=0.001, cap=0.002)),
    )
    async with bench.running():
        for n in range(10):
            bench.ask(f"r{n}")
        await bench.until(10)
        assert bench.dispatcher.refusal
        await asyncio.sleep(0.01)
        assert not bench.dispatcher.takes_no_more
    assert {(reason, attempts) for _, reason, attempts in bench.failures} == {("engine_error", 3)}
    assert len({text for text, _, _ in bench.failures}) == 10


async def test_a_probe_that_hangs_is_a_failed_probe() -> None:
    """It ends with the batch's time, and the next one is another record."""
    bench = Bench(hanging(), timeout=0.01, breaker=BreakerRules(0.5, 20, 1, RetryPolicy(base=0.001, cap=0.002)))
    async with bench.running():
        bench.ask("hangs")
        await bench.until_told(What.BREAKER)
        bench.ask("a")
        await bench.until(1)
    assert bench.answers == ["a"]


async def test_jobs_neither_open_the_breaker_nor_are_stopped_by_their_own_failures() -> None:
    """A summary that fails is its job's affair: it pauses, and is parked."""
    bench = Bench(ScriptedEngine(lambda _task, _time: RetryLater("broken")), breaker=BREAKER)
    async with bench.running():
        for n in range(30):
            bench.ask(f"r{n}", rank=Rank.JOB)
        await bench.until(30)
        assert not bench.dispatcher.refusal
    assert len(bench.failures) == 30


async def test_a_fault_that_is_the_records_own_opens_nothing() -> None:
    """However many records have it."""
    bench = Bench(ScriptedEngine(lambda _task, _time: DeadLetter("too_odd", "x")), breaker=BREAKER)
    async with bench.running():
        for n in range(30):
            bench.ask(f"r{n}")
        await bench.until(30)
        assert not bench.dispatcher.refusal
    assert len(bench.failures) == 30


@dataclass(eq=False)
class Choking(ScriptedEngine):
    """Can prepare nothing while it is ill."""

    ill: bool = True

    async def prepare(self, tasks: Sequence[Task], budget: int) -> list[Prepared]:
        """As a tokenizer with a bug."""
        if self.ill:
            raise LookupError("no vocabulary")
        return await super().prepare(tasks, budget)


async def test_a_tokenizer_that_fails_for_every_record_stops_as_well() -> None:
    """It is our fault like an engine's: few dead letters, and all the rest is answered when it is mended."""
    engine = Choking()
    bench = Bench(engine, breaker=BREAKER)
    async with bench.running():
        for n in range(60):
            bench.ask(f"r{n}")
        await bench.until_told(What.BREAKER)
        await asyncio.sleep(0.05)
        dead = len(bench.failures)
        assert dead <= 10
        engine.ill = False
        await bench.until(60)
        assert not bench.dispatcher.refusal
    assert {reason for _, reason, _ in bench.failures} == {"internal_error"}
    assert len(bench.answers) >= 50


async def test_a_batch_tells_of_its_items_together_with_their_records_and_tokens() -> None:
    """One event a kind and batch; an answer out of the cache cost no tokens."""
    said = {"a": Answer(label=Sentiment.POSITIVE, prompt_tokens=10, cached_tokens=4, output_tokens=1)}
    said["b"] = replace(said["a"], cached=True)
    bench = Bench(ScriptedEngine(lambda task, _time: said.get("".join(task.reviews))))
    async with bench.running():
        for text in ("a", "b"):
            bench.ask(text, record=FakeRecord(offset=ord(text)))
        bench.ask("job")
        await bench.until(3)
        await bench.until_told(What.BATCH_ENDED)
    (queued,) = bench.told(What.QUEUED)
    (answered,) = bench.told(What.ANSWERED)
    (tokens,) = bench.told(What.TOKENS)
    (started,) = bench.told(What.BATCH_STARTED)
    assert (tokens.kind, tokens.count, tokens.values) == ("sentiment", 2, (10, 4, 1))
    assert started.count == len(queued.values) == len(answered.values) == 3
    places = [record.offset if record else None for record in answered.records]
    assert places == [record.offset if record else None for record in queued.records] == [97, 98, None]
    assert queued.batch == answered.batch == started.batch


async def test_a_long_batch_is_told_of_while_it_runs() -> None:
    """Else a batch with one slow item would keep the others out of the metrics for minutes."""
    bench = Bench(ScriptedEngine(unanswered=lambda task: task.reviews == ("slow",)))
    async with bench.running():
        for text in ("quick", "slow"):
            bench.ask(text)
        await bench.until(1)
        assert bench.told(What.ANSWERED) == []
        bench.dispatcher.tell()
        bench.dispatcher.tell()
        assert [len(event.values) for event in bench.told(What.ANSWERED)] == [1]
        assert [stage for ask, stage in bench.dispatcher.stages() if ask.name == "slow"] == ["engine"]


async def test_everything_that_is_here_has_a_stage() -> None:
    """As an operator sees it of the oldest record of a partition."""
    bench = Bench(ScriptedEngine(lambda _task, _time: RetryLater("later")), attempts=100, pause=60)
    bench.ask("new")
    assert [stage for _, stage in bench.dispatcher.stages()] == ["new"]
    bench.engine.gate.clear()
    async with bench.running():
        for number in range(12):  # two batches of five run
            bench.ask(f"r{number}")
        await bench.until_both_permits_are_taken()
        await asyncio.sleep(0.02)
        stages = Counter(stage for _, stage in bench.dispatcher.stages())
        assert stages == {"engine": 10, "waiting": 3}
        bench.engine.gate.set()
        await bench.until_told(What.RETRY)
        assert "retry" in {stage for _, stage in bench.dispatcher.stages()}


async def test_an_answer_off_its_form_is_counted_each_time() -> None:
    """Also the last one, which is no retry."""
    bench = Bench(ScriptedEngine(lambda _task, _time: RetryLater("not JSON", "invalid_answer")))
    async with bench.running():
        bench.ask("x")
        await bench.until(1)
    assert len(bench.told(What.INVALID_ANSWER)) == 2
    assert [event.reason for event in bench.told(What.RETRY)] == ["invalid_answer"]
