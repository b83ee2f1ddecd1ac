"""Invariant 6: an engine's death is not the records' fault; only who was alone in flight at three is to blame."""

import asyncio
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from consumer.analysis.task import Kind, Task
from consumer.engines.contract import Deliver, Health, Prepared
from consumer.errors import ConfigError, EngineDown, EngineUnavailable
from consumer.hooks.events import Event, Hooks, What
from consumer.pipeline import supervisor as supervisor_module
from consumer.pipeline.dispatch import Ask, Dispatcher, DispatchRules
from consumer.pipeline.quarantine import Quarantine
from consumer.pipeline.supervisor import RestartRules, Supervisor
from consumer.state_dir import StateDirectory
from consumer.stream.admission import Admission
from consumer.stream.batcher import Batcher, BatchLimits
from consumer.stream.breaker import BreakerRules
from consumer.stream.retry import RetryPolicy
from consumer.stream.work import Rank
from tests.integration.mortal import MortalEngine

BUDGET = 1000
QUICK = RetryPolicy(3, base=0.001, cap=0.002)
PATIENCE = 15.0


def is_poison(task: Task) -> bool:
    """What these engines die of."""
    return "poison" in "".join(task.reviews)


@dataclass(eq=False)
class Bench:
    """A supervised dispatcher: one process's life on a state directory."""

    engine: MortalEngine
    state: Path
    most: int = 5
    pause: RetryPolicy = QUICK
    closed: bool = False
    answers: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, str, int]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Small batches, many at once."""
        clock, hooks = asyncio.get_running_loop().time, Hooks([self.events.append])
        self.directory = StateDirectory(self.state, "group")
        self.quarantine = Quarantine(self.directory, hooks)
        batcher: Batcher[Ask] = Batcher(BatchLimits(BUDGET, 2, 5, linger=0.001, linger_max=0.002))
        rules = DispatchRules(BUDGET, 30, self.pause, BreakerRules(share=1))
        admission = Admission(8, BUDGET)
        self.dispatcher = Dispatcher(
            self.engine, batcher, admission, rules, self.quarantine, hooks, clock=clock, random=lambda: 0.5
        )
        restarts = RestartRules(self.most, self.pause)
        self.supervisor = Supervisor(self.engine, self.dispatcher, self.quarantine, restarts, hooks, random=lambda: 0.5)

    def ask(self, *texts: str) -> None:
        """Submit reviews."""
        for text in texts:
            self.dispatcher.submit(
                Ask(
                    Task(Kind.SENTIMENT, "ko", (text,)),
                    text,
                    Rank.NORMAL,
                    self,
                    lambda _answer, _prepared, text=text: self.answers.update([text]),  # type: ignore[misc]
                    lambda fault, attempts, text=text: self.failures.append((text, fault.reason, attempts)),  # type: ignore[misc]
                    name=f"t/0/{text}",
                )
            )

    async def serve(self) -> None:
        """Start, and work until cancelled."""
        await self.supervisor.start()
        await self.supervisor.run()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["asyncio.Task[None]"]:
        """At work while inside; stopped as the service stops it."""
        task = asyncio.create_task(self.serve())
        try:
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, EngineDown):
                await task
            await self.supervisor.stop()
            self.directory.close()

    async def until(self, count: int) -> None:
        """Wait for so many answers and failures."""
        async with asyncio.timeout(PATIENCE):
            while self.answers.total() + len(self.failures) < count:
                await asyncio.sleep(0.001)

    async def until_ready(self) -> None:
        """Wait for the engine."""
        async with asyncio.timeout(PATIENCE):
            while not self.supervisor.health().ready:
                await asyncio.sleep(0.001)

    def counted(self, what: What) -> int:
        """How often something was told."""
        return sum(event.what is what for event in self.events)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 40, 200])
async def test_a_record_that_kills_every_engine_is_alone_to_blame(tmp_path: Path, count: int) -> None:
    """Whatever else is in flight: the others are answered exactly once, with no attempt lost."""
    engine = MortalEngine(kills=is_poison)
    bench = Bench(engine, tmp_path)
    texts = [f"r{n}" for n in range(count)]
    texts[count // 2] = "poison"
    async with bench.running():
        bench.ask(*texts)
        await bench.until(count)
        await bench.until_ready()
    assert bench.failures == [("poison", "engine_killer", 3)]
    assert bench.answers == Counter(set(texts) - {"poison"})
    assert Counter(engine.outlived) == bench.answers
    assert engine.deaths[-3:] == [["poison"]] * 3
    assert engine.starts == len(engine.deaths) + 1
    assert len(engine.deaths) <= count.bit_length() + 3
    assert bench.counted(What.RETRY) == 0


@pytest.mark.parametrize("killers", [1, 3, 8])
@pytest.mark.parametrize("hangs", [False, True])
async def test_many_killers_are_told_from_the_innocent(tmp_path: Path, killers: int, *, hangs: bool) -> None:
    """Also where the calls in flight never come back and must be cancelled."""
    engine = MortalEngine(kills=is_poison, hangs=hangs)
    bench = Bench(engine, tmp_path, most=100)
    texts = [f"poison{n}" if n % 10 == 3 and n < 10 * killers else f"r{n}" for n in range(100)]
    async with bench.running():
        bench.ask(*texts)
        await bench.until(100)
    assert {text for text, _, _ in bench.failures} == {f"poison{10 * n + 3}" for n in range(killers)}
    assert bench.answers == Counter(t for t in texts if not t.startswith("poison"))
    assert len(bench.failures) == killers
    at_first = max(map(len, engine.deaths))
    assert len(engine.deaths) <= killers * (at_first.bit_length() + 3)


async def test_suspects_are_tried_apart_from_fresh_records(tmp_path: Path) -> None:
    """So that a death tells: after the first death nothing fresh is in flight at another one."""
    engine = MortalEngine(kills=is_poison)
    bench = Bench(engine, tmp_path)
    async with bench.running():
        bench.ask("a", "b", "poison", "c")
        async with asyncio.timeout(PATIENCE):
            while not engine.deaths:
                await asyncio.sleep(0)
        fresh = [f"fresh{n}" for n in range(50)]
        bench.ask(*fresh)
        await bench.until(54)
    suspected = set(engine.deaths[0])
    assert all(set(death) < suspected for death in engine.deaths[1:])
    assert bench.answers == Counter(["a", "b", "c", *fresh])


async def test_a_suspect_of_another_life_waits_for_what_is_in_flight(tmp_path: Path) -> None:
    """It comes while fresh records are with the engine: it is sent when they are done, and they outlive it."""
    before = Bench(MortalEngine(), tmp_path)
    before.quarantine.open()
    before.quarantine.died(["t/0/poison", "t/0/a"])
    before.quarantine.close()
    before.directory.close()
    engine = MortalEngine(kills=is_poison)
    engine.gate.clear()
    bench = Bench(engine, tmp_path)
    fresh = [f"r{n}" for n in range(10)]
    async with bench.running():
        bench.ask(*fresh)
        async with asyncio.timeout(PATIENCE):
            while len(engine.flying) < len(fresh):
                await asyncio.sleep(0.001)
        bench.ask("poison", "a", "later")
        async with asyncio.timeout(PATIENCE):
            while not bench.quarantine.waits:
                await asyncio.sleep(0.001)
        engine.gate.set()
        await bench.until(13)
    assert engine.deaths == [["poison"]] * 3
    assert bench.answers == Counter([*fresh, "a", "later"])
    assert set(engine.outlived[: len(fresh)]) == set(fresh)


async def test_a_text_that_kills_when_it_is_prepared_is_found_too(tmp_path: Path) -> None:
    """Preparing is being in flight as well."""
    engine = MortalEngine(chokes=is_poison)
    bench = Bench(engine, tmp_path)
    texts = ["poison", *(f"r{n}" for n in range(30))]
    async with bench.running():
        bench.ask(*texts)
        await bench.until(31)
    assert bench.failures == [("poison", "engine_killer", 3)]
    assert bench.answers == Counter(texts[1:])


async def test_a_death_from_outside_costs_no_record_anything(tmp_path: Path) -> None:
    """Killed by somebody in mid-batch: a new engine, everything answered once, no dead letter, ready again."""
    engine = MortalEngine()
    engine.gate.clear()
    bench = Bench(engine, tmp_path)
    texts = [f"r{n}" for n in range(60)]
    async with bench.running():
        bench.ask(*texts)
        async with asyncio.timeout(PATIENCE):
            while len(engine.flying) < 30:
                await asyncio.sleep(0.001)
        engine.dead = True
        assert not bench.supervisor.health().ready
        engine.gate.set()
        await bench.until(60)
        await bench.until_ready()
    assert bench.answers == Counter(texts)
    assert (bench.failures, bench.counted(What.RETRY), engine.starts) == ([], 0, 2)
    suspects = [event.count for event in bench.events if event.what is What.SUSPECTS]
    assert max(suspects) >= 30
    assert suspects[-1] == 0


async def test_without_progress_the_process_ends(tmp_path: Path) -> None:
    """After so many restarts that brought nothing; what is not answered stays with Kafka, blamed for nothing."""
    bench = Bench(MortalEngine(kills=lambda _: True), tmp_path, most=3)
    bench.ask(*(f"r{n}" for n in range(64)))
    async with bench.running() as task:
        with pytest.raises(EngineDown, match="3 restarts of the engine brought nothing; the last error: killed"):
            await asyncio.wait_for(task, PATIENCE)
        assert not bench.supervisor.health().ready
    assert bench.answers.total() == 0
    assert len(bench.failures) <= 2


async def test_an_engine_that_does_not_start_is_given_up_after_so_many_restarts(tmp_path: Path) -> None:
    """It is stopped before each further try, and told about."""
    engine = MortalEngine(start_errors=[EngineDown("no memory")] * 9)
    bench = Bench(engine, tmp_path, most=4)
    async with bench.running() as task:
        with pytest.raises(EngineDown, match=r"4 restarts.*no memory"):
            await asyncio.wait_for(task, PATIENCE)
    assert engine.starts == 5
    assert bench.counted(What.ENGINE_RESTART) == 4
    assert {e.reason for e in bench.events if e.what is What.ENGINE_DOWN} == {"not_started"}


async def test_an_engine_that_starts_late_is_waited_for(tmp_path: Path) -> None:
    """A few failures at the start, or after a death, are nothing."""
    engine = MortalEngine(start_errors=[EngineDown("busy"), EngineDown("busy")])
    bench = Bench(engine, tmp_path)
    async with bench.running():
        bench.ask("a")
        await bench.until(1)
        engine.start_errors = [EngineDown("busy")] * 4
        engine.dead = True
        bench.ask("b")
        await bench.until(2)
    assert bench.answers == Counter(["a", "b"])


async def test_a_setting_that_no_start_can_help_ends_it_at_once(tmp_path: Path) -> None:
    """Nobody waits for a person's mistake."""
    engine = MortalEngine(start_errors=[ConfigError("no such model")])
    with pytest.raises(ConfigError, match="no such model"):
        await Bench(engine, tmp_path).supervisor.start()
    assert engine.starts == 1


async def test_a_start_that_hangs_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And so is a stop: a new engine comes anyway."""

    class Stuck(MortalEngine):
        async def start(self) -> None:
            if not self.starts:
                self.starts += 1
                await asyncio.Event().wait()
            await super().start()

        async def stop(self) -> None:
            if self.starts == 1:
                await asyncio.Event().wait()
            await super().stop()

    monkeypatch.setattr(supervisor_module, "START_SECONDS", 0.01)
    monkeypatch.setattr(supervisor_module, "STOP_SECONDS", 0.01)
    bench = Bench(Stuck(), tmp_path)
    async with bench.running():
        bench.ask("a")
        await bench.until(1)
    assert any("did not start within" in event.detail for event in bench.events)


async def test_an_engine_that_fails_to_stop_is_started_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its remains are its adapter's affair."""

    class Sticky(MortalEngine):
        async def stop(self) -> None:
            await super().stop()
            raise OSError("no such process")

    bench = Bench(Sticky(kills=is_poison), tmp_path)
    async with bench.running():
        bench.ask("poison", "a")
        await bench.until(2)
    assert bench.failures == [("poison", "engine_killer", 3)]
    assert "no such process" in caplog.text


async def test_an_unreachable_engine_is_waited_for_without_end(tmp_path: Path) -> None:
    """However often it refuses: no suspect, no attempt, no restart counted; not ready meanwhile, and ready after."""
    engine = MortalEngine(refusals=[EngineUnavailable("refused")] * 30)
    bench = Bench(engine, tmp_path, most=3)
    async with bench.running():
        bench.ask(*(f"r{n}" for n in range(20)))
        async with asyncio.timeout(PATIENCE):
            while not bench.dispatcher.refusal:
                await asyncio.sleep(0)
        assert bench.supervisor.health() == Health(ready=False, reason="refused")
        await bench.until(20)
        assert bench.supervisor.health().ready
    assert (engine.starts, bench.failures, bench.counted(What.RETRY)) == (1, [], 0)
    assert set(engine.asked.values()) == {1}
    told = [event.what for event in bench.events if event.what in {What.ENGINE_DOWN, What.ENGINE_UP}]
    assert told == [What.ENGINE_UP, What.ENGINE_DOWN, What.ENGINE_UP]
    assert max(event.count for event in bench.events if event.what is What.SUSPECTS) == 0


async def test_an_unreachable_engine_is_waited_for_at_the_start_too(tmp_path: Path) -> None:
    """More often than an engine that dies may be restarted."""
    engine = MortalEngine(start_errors=[EngineUnavailable("refused", 0.001) for _ in range(12)])
    bench = Bench(engine, tmp_path, most=3)
    async with bench.running():
        bench.ask("a")
        await bench.until(1)
    assert engine.starts == 13


async def test_a_refusal_in_the_middle_of_a_trial_accuses_nobody(tmp_path: Path) -> None:
    """The suspects wait, apart, until the engine answers again."""

    class Moody(MortalEngine):
        async def run(self, batch: Sequence[Prepared], deliver: Deliver) -> None:
            if self.deaths and not self.dead and self.starts not in seen:
                seen.add(self.starts)
                raise EngineUnavailable("a moment", 0.002)
            await super().run(batch, deliver)

    seen: set[int] = set()
    engine = Moody(kills=is_poison)
    bench = Bench(engine, tmp_path)
    texts = ["poison", *(f"r{n}" for n in range(30))]
    async with bench.running():
        bench.ask(*texts)
        await bench.until(31)
    assert len(seen) > 2
    assert bench.failures == [("poison", "engine_killer", 3)]
    assert bench.answers == Counter(texts[1:])


async def test_a_stop_during_a_restart_ends_it(tmp_path: Path) -> None:
    """Whatever the engine is at."""
    engine = MortalEngine(kills=is_poison)
    bench = Bench(engine, tmp_path, pause=RetryPolicy(3, base=60, cap=60))
    async with bench.running():
        bench.ask("poison")
        async with asyncio.timeout(PATIENCE):
            while not engine.deaths:
                await asyncio.sleep(0.001)
    assert engine.starts == 1


class Deadly(MortalEngine):
    """Takes the whole process along, as the kernel does when memory runs out."""

    def _die(self, also: Sequence[str] = ()) -> None:
        del also
        os.kill(os.getpid(), signal.SIGKILL)


async def _live(state: Path, done: Path, texts: Sequence[str]) -> None:
    bench = Bench(Deadly(kills=is_poison), state)
    async with bench.running():
        bench.ask(*texts)
        told = 0
        while told < len(texts):
            await asyncio.sleep(0)
            said = [*bench.answers.elements(), *(f"{reason} {text}" for text, reason, _ in bench.failures)]
            if len(said) > told:
                told = len(said)
                done.write_text("\n".join(said))  # noqa: ASYNC240 - nobody waits


def _process(state: Path, done: Path, texts: Sequence[str]) -> None:
    asyncio.run(_live(state, done, texts))


def test_a_killer_that_takes_the_process_along_is_found_over_its_lives(tmp_path: Path) -> None:
    """What was in flight is on disk before it is: the next process suspects it, and convicts after three alone."""
    left, said, codes = ["a", "b", "poison", "c", "d", "e", "f"], list[str](), list[int | None]()
    while not codes or codes[-1] == -signal.SIGKILL:
        assert len(codes) <= len("abcdefg").bit_length() + 3
        done = tmp_path / f"said-{len(codes)}"
        life = multiprocessing.get_context("spawn").Process(target=_process, args=(tmp_path / "state", done, left))
        life.start()
        life.join(60)
        codes.append(life.exitcode)
        new = done.read_text().split("\n") if done.exists() else []
        said += new
        left = [text for text in left if text not in new]
    assert codes[-1] == 0
    assert len(codes) > 3
    assert set(said) == {"a", "b", "c", "d", "e", "f", "engine_killer poison"}


async def test_a_process_that_ended_well_accuses_nobody(tmp_path: Path) -> None:
    """Stopped with work in flight: the next one sends it as if it were fresh."""
    engine = MortalEngine()
    engine.gate.clear()
    bench = Bench(engine, tmp_path)
    async with bench.running():
        bench.ask("a", "b")
        async with asyncio.timeout(PATIENCE):
            while not engine.flying:
                await asyncio.sleep(0.001)
    again = Bench(MortalEngine(), tmp_path)
    async with again.running():
        assert not again.quarantine.waits
        again.ask("a", "b")
        await again.until(2)
    assert max((event.count for event in again.events if event.what is What.SUSPECTS), default=0) == 0


async def test_a_batch_that_is_cancelled_before_its_first_step_gives_its_permit_back(tmp_path: Path) -> None:
    """It never reaches the engine; what it held is stranded, as of any batch that was cut short."""
    bench = Bench(MortalEngine(), tmp_path)
    bench.directory.open()
    bench.ask("a")
    async with asyncio.TaskGroup() as tasks:
        dispatcher = bench.dispatcher
        await bench.engine.start()
        (ask,) = dispatcher._new
        (ask.prepared,) = await bench.engine.prepare([ask.task], BUDGET)
        dispatcher._pack(ask, dispatcher._batcher)
        dispatcher._send(tasks, dispatcher._batcher, asyncio.get_running_loop().time(), flush=True)
        assert [task.cancel() for task in dispatcher._running.values()] == [True]
    assert (dispatcher._running, dispatcher._admission.batches_running) == ({}, 0)
    assert dispatcher._stranded == [ask]
    bench.directory.close()
