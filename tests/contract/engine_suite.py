"""What every engine promises: a class that an engine's test class inherits."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace

import pytest

from consumer.analysis.answers import parse_comparison, parse_strength, parse_summary
from consumer.analysis.sentiment import read_sentiment
from consumer.analysis.task import AspectName, Claim, Kind, Task
from consumer.engines.contract import Answer, BudgetTooSmall, Deliver, Engine, Fault
from consumer.errors import EngineDown
from schemas.base import Sentiment

BUDGET = 4000
REVIEWS = (
    "음식이 정말 맛있고 직원분들도 친절해요. 또 오고 싶습니다!",
    "한 시간 기다렸는데 음식이 식어서 나왔어요. 실망했습니다.",
    "가격은 조금 비싸지만 분위기가 좋아요.",
    "The food was delicious and the staff were friendly.",
    "",
    "😍😍",
)
CLAIMS = (
    Claim("positive", AspectName.FOOD, "고기가 부드럽고 맛있다.", 12),
    Claim("positive", AspectName.SERVICE, "직원이 친절하다.", 5),
)


def sentiment(text: str) -> Task:
    """One review's task."""
    return Task(Kind.SENTIMENT, "ko", (text,))


TASKS = (
    *map(sentiment, REVIEWS),
    Task(Kind.SUMMARY, "ko", REVIEWS[:3]),
    Task(Kind.SUMMARY, "en", REVIEWS[3:], CLAIMS),
    Task(Kind.COMPARISON, "ko", claims=CLAIMS),
    Task(Kind.STRENGTH, "ko", claims=CLAIMS, background="다른 곳은 분위기가 좋습니다."),
    Task(Kind.STRENGTH, "en", claims=CLAIMS[:1]),
)


class Delivered:
    """Collects what a run delivers, and when."""

    def __init__(self) -> None:
        self.outcomes: dict[int, Answer | Fault] = {}

    def __call__(self, index: int, outcome: Answer | Fault) -> None:
        """Each index once."""
        assert index not in self.outcomes
        self.outcomes[index] = outcome

    def answers(self) -> list[Answer]:
        """All of them, in the batch's order; none may be a fault."""
        found = [outcome for _, outcome in sorted(self.outcomes.items())]
        assert all(isinstance(outcome, Answer) for outcome in found), found
        return [outcome for outcome in found if isinstance(outcome, Answer)]


def check_form(task: Task, answer: Answer, *, grounded: bool = True) -> None:
    """The answer reads by the one parser, and, where `grounded`, cites nothing that is not there."""
    if task.kind is Kind.SENTIMENT:
        assert read_sentiment(answer).label in set(Sentiment)
    elif task.kind is Kind.SUMMARY:
        uncited = parse_summary(answer.text, len(task.reviews)).uncited
        assert not (grounded and uncited)
    elif task.kind is Kind.COMPARISON:
        assert parse_comparison(answer.text)
    else:
        uncited = parse_strength(answer.text, len(task.claims)).uncited
        assert not (grounded and uncited)


class EngineSuite:
    """Inherit, and say how the engine is made: `make` is called for each test."""

    budget = BUDGET
    """Of every prompt; a slow engine takes a smaller one."""
    restarts = 2
    asked_again: Sequence[Task] = TASKS
    """After each restart."""
    grounded = True
    """Small models cite numbers that are not there: those claims are dropped by the parser, and counted."""
    long_task = Task(Kind.SUMMARY, "ko", REVIEWS[:3], CLAIMS)
    """Takes long enough to be cancelled, fifty at once, and comes to an end within a minute."""

    def make(self) -> Engine:
        """An engine that is not started."""
        raise NotImplementedError

    @pytest.fixture
    async def engine(self) -> AsyncIterator[Engine]:
        """Started, and stopped after the test."""
        made = self.make()
        await made.start()
        yield made
        await made.stop()

    async def ask(self, engine: Engine, tasks: Sequence[Task]) -> list[Answer]:
        """Prepare and run as one batch."""
        delivered = Delivered()
        await engine.run(await engine.prepare(tasks, self.budget), delivered)
        return delivered.answers()

    async def test_every_item_is_answered_once_in_its_form(self, engine: Engine) -> None:
        """All kinds in one batch."""
        for task, answer in zip(TASKS, await self.ask(engine, TASKS), strict=True):
            check_form(task, answer, grounded=self.grounded)

    async def test_the_order_of_a_batch_changes_no_label(self, engine: Engine) -> None:
        """Nor do the neighbours."""
        tasks = [sentiment(text) for text in REVIEWS]
        labels = [read_sentiment(answer).label for answer in await self.ask(engine, tasks)]
        backwards = [read_sentiment(answer).label for answer in await self.ask(engine, tasks[::-1])]
        alone = [read_sentiment((await self.ask(engine, [task]))[0]).label for task in tasks]
        assert labels == backwards[::-1] == alone

    async def test_clear_reviews_get_their_label(self, engine: Engine) -> None:
        """In Korean and English."""
        answers = await self.ask(engine, [sentiment(REVIEWS[n]) for n in (0, 1, 3)])
        assert [read_sentiment(answer).label for answer in answers] == ["positive", "negative", "positive"]

    async def test_many_batches_at_once(self, engine: Engine) -> None:
        """None takes another's answers."""
        found = await asyncio.gather(*(self.ask(engine, [sentiment(REVIEWS[n % 2])] * 5) for n in range(10)))
        for n, answers in enumerate(found):
            assert {read_sentiment(a).label for a in answers} == {("positive", "negative")[n % 2]}

    async def test_tokens_are_counted_and_fit(self, engine: Engine) -> None:
        """Longer text weighs no less, nothing weighs nothing, all fits its budget."""
        texts = [REVIEWS[0] * n for n in (0, 1, 3, 10, 100, 1000)]
        for budget in (1000, self.budget):
            prepared = await engine.prepare([sentiment(text) for text in texts], budget)
            weights = [p.own_tokens for p in prepared]
            assert weights == sorted(weights)
            assert all(p.own_tokens >= 1 and p.prefix_tokens + p.own_tokens <= budget for p in prepared)

    async def test_invariant_7_too_long_text_is_cut_marked_and_answered(self, engine: Engine) -> None:
        """Its neighbours are left as they are."""
        tasks = [
            sentiment(REVIEWS[0]),
            sentiment(REVIEWS[0] * 3000),
            Task(Kind.SUMMARY, "ko", (REVIEWS[0] * 3000,) * 4),
        ]
        prepared = await engine.prepare(tasks, self.budget)
        assert [p.truncated for p in prepared] == [False, True, True]
        delivered = Delivered()
        await engine.run(prepared, delivered)
        for task, answer in zip(tasks, delivered.answers(), strict=True):
            check_form(task, answer, grounded=self.grounded)

    async def test_head_and_tail_survive_the_cut(self, engine: Engine) -> None:
        """Opinions stand at the end as often as at the beginning: both ends still decide together."""
        filler = "그냥 그런 이야기입니다. " * 3000
        (short, cut) = await engine.prepare([sentiment("x"), sentiment(REVIEWS[1] + filler + REVIEWS[1])], self.budget)
        assert not short.truncated
        assert cut.truncated
        kept = "".join(cut.task.reviews)
        if kept != "".join(sentiment(REVIEWS[1] + filler + REVIEWS[1]).reviews):  # engines that cut the text itself
            assert kept.startswith(REVIEWS[1])
            assert kept.endswith(REVIEWS[1])

    async def test_a_budget_that_holds_nothing_is_refused(self, engine: Engine) -> None:
        """Not by an empty prompt."""
        with pytest.raises(BudgetTooSmall, match="budget"):
            await engine.prepare([sentiment("맛있어요")], 0)

    async def test_cancelling_delivers_nothing_more(self, engine: Engine) -> None:
        """And the engine goes on working for others."""
        batch = await engine.prepare([_another(self.long_task, n) for n in range(50)], self.budget)
        delivered = Delivered()
        first = asyncio.Event()
        task = asyncio.create_task(engine.run(batch, _until(delivered, first)))
        await asyncio.wait_for(first.wait(), 60)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        count = len(delivered.outcomes)
        assert count < 50
        await asyncio.sleep(0.1)
        assert len(delivered.outcomes) == count
        assert await self.ask(engine, [sentiment(REVIEWS[0])])

    async def test_an_error_of_the_one_who_takes_the_answers_is_raised(self, engine: Engine) -> None:
        """It is the caller's, not the engine's."""

        def refuse(_index: int, _outcome: Answer | Fault) -> None:
            raise LookupError("the caller's own")

        with pytest.raises(LookupError, match="the caller's own"):
            await engine.run(await engine.prepare([sentiment("맛있어요")], self.budget), refuse)

    async def test_the_event_loop_is_not_blocked(self, engine: Engine) -> None:
        """Preparing and running go on elsewhere: the loop's longest pause stays small."""
        worst = [0.0]
        watch = asyncio.create_task(_watch(worst))
        await asyncio.sleep(0.05)
        await self.ask(
            engine, [*[sentiment(REVIEWS[0] * 500)] * 50, Task(Kind.SUMMARY, "ko", (REVIEWS[0] * 200,) * 16)]
        )
        watch.cancel()
        assert worst[0] < 0.5

    async def test_health_and_names(self, engine: Engine) -> None:
        """Ready between start and stop; stop twice, or without a start, does no harm; then it is down."""
        assert engine.health().ready
        assert engine.name
        assert engine.model
        batch = await engine.prepare([sentiment("맛있어요")], self.budget)
        await engine.stop()
        await engine.stop()
        assert not engine.health().ready
        assert engine.health().reason
        with pytest.raises(EngineDown):
            await engine.run(batch, Delivered())
        await self.make().stop()

    async def test_a_stopped_engine_starts_again_and_works_as_new(self, engine: Engine) -> None:
        """On the same object; what was prepared before is still good, what was in flight has ended as EngineDown."""
        batch = await engine.prepare([sentiment(REVIEWS[0])], self.budget)
        for _ in range(self.restarts):
            await engine.stop()
            with pytest.raises(EngineDown):
                await engine.run(batch, Delivered())
            await engine.start()
            assert engine.health().ready
            delivered = Delivered()
            await engine.run(batch, delivered)
            (answer,) = delivered.answers()
            assert read_sentiment(answer).label == "positive"
            for task, answer in zip(self.asked_again, await self.ask(engine, self.asked_again), strict=True):
                check_form(task, answer, grounded=self.grounded)


def _another(task: Task, number: int) -> Task:
    """No two alike: a cache would answer them all at once."""
    return replace(task, claims=(*task.claims, Claim("positive", AspectName.OTHER, f"{number}번째 손님도 왔다.", 1)))


def _until(delivered: Delivered, first: asyncio.Event) -> Deliver:
    def deliver(index: int, outcome: Answer | Fault) -> None:
        delivered(index, outcome)
        first.set()

    return deliver


async def _watch(worst: list[float]) -> None:
    """The longest pause; no longer than this process computed meanwhile: what others compute keeps nobody's loop."""
    while True:
        before, computed = time.monotonic(), time.process_time()
        await asyncio.sleep(0.005)
        worst[0] = max(worst[0], min(time.monotonic() - before - 0.005, time.process_time() - computed))
