"""Many questions to an engine outside the stream: bounded, each answered or failed once, in order."""

import asyncio
from collections.abc import Sequence

import pytest

from consumer.analysis.task import Kind, Task
from consumer.engines.contract import Answer, Deliver, Fault, Prepared
from consumer.errors import DeadLetter, EngineDown, RetryLater
from consumer.pipeline.asking import AskLimits, ask
from schemas.base import Sentiment
from tests.integration.scripted import ScriptedEngine

LIMITS = AskLimits(tokens=1000, items=7, batches=3, timeout=5)


def tasks(count: int) -> list[Task]:
    """Reviews that are told apart by their number."""
    return [Task(Kind.SENTIMENT, "ko", (f"리뷰 {n}",)) for n in range(count)]


def by_number(task: Task, _time: int) -> Answer | Fault | None:
    """Every fifth fails; the others say whether their number is even."""
    number = int("".join(task.reviews).split()[1])
    if number % 5 == 4:
        return (RetryLater("busy"), DeadLetter("invalid", "never"))[number % 2]
    return Answer(label=(Sentiment.POSITIVE, Sentiment.NEGATIVE)[number % 2])


class Watched(ScriptedEngine):
    """Remembers the batches it was given, in tokens and items."""

    def __init__(self) -> None:
        super().__init__(by_number)
        self.batches: list[tuple[int, int]] = []

    async def run(self, batch: Sequence[Prepared], deliver: Deliver) -> None:
        """As scripted."""
        self.batches.append((batch[0].prefix_tokens + sum(p.own_tokens for p in batch), len(batch)))
        await super().run(batch, deliver)


async def test_each_is_answered_once_in_order_within_the_limits() -> None:
    """Also where there are more pieces than batches at once, and a failed one is among them."""
    engine, told = Watched(), [0]

    def count() -> None:
        told[0] += 1

    outcomes = await ask(engine, tasks(100), LIMITS, count)
    assert told == [100]
    assert [outcome.sent.reviews[0] for outcome in outcomes] == [f"리뷰 {n}" for n in range(100)]
    for n, outcome in enumerate(outcomes):
        said = outcome.said
        if n % 5 == 4:
            assert isinstance(said, RetryLater | DeadLetter)
        else:
            assert isinstance(said, Answer)
            assert said.label == ("positive", "negative")[n % 2]
    assert set(engine.asked.values()) == {1}
    assert all(size <= 1000 and items <= 7 for size, items in engine.batches)
    assert engine.most_at_once <= 3 * 7


async def test_a_small_budget_makes_small_batches() -> None:
    """Each item weighs 52 tokens beside the prefix of 20."""
    engine = Watched()
    await ask(engine, tasks(30), AskLimits(tokens=150, items=7, batches=2, timeout=5))
    assert max(items for _, items in engine.batches) == 2
    assert max(size for size, _ in engine.batches) <= 150


async def test_an_engine_that_does_not_answer_in_time_fails_its_batch_alone() -> None:
    """The others go on."""

    class Slow(ScriptedEngine):
        async def run(self, batch: Sequence[Prepared], deliver: Deliver) -> None:
            if any("리뷰 3" in p.task.reviews for p in batch):
                await asyncio.Event().wait()
            await super().run(batch, deliver)

    outcomes = await ask(Slow(), tasks(20), AskLimits(tokens=1000, items=5, batches=2, timeout=0.05))
    late = [n for n, outcome in enumerate(outcomes) if isinstance(outcome.said, RetryLater)]
    assert late == [0, 1, 2, 3, 4]
    said = outcomes[0].said
    assert isinstance(said, RetryLater)
    assert said.reason == "engine_timeout"


async def test_an_engine_that_throws_fails_its_batch_alone() -> None:
    """Whatever it throws, and whatever it leaves unanswered."""

    class Broken(ScriptedEngine):
        async def run(self, batch: Sequence[Prepared], deliver: Deliver) -> None:
            if any("리뷰 3" in p.task.reviews for p in batch):
                raise LookupError("its own")
            await super().run(batch[:-1], deliver)

    outcomes = await ask(Broken(), tasks(10), AskLimits(tokens=1000, items=5, batches=2, timeout=5))
    assert [type(outcome.said) for outcome in outcomes] == [DeadLetter] * 5 + [Answer] * 4 + [RetryLater]


async def test_an_item_that_cannot_be_prepared_is_alone() -> None:
    """Its neighbours are answered."""

    class Picky(ScriptedEngine):
        async def prepare(self, tasks: Sequence[Task], budget: int) -> list[Prepared]:
            if any("리뷰 3" in task.reviews for task in tasks):
                raise LookupError("its own")
            return await super().prepare(tasks, budget)

    outcomes = await ask(Picky(), tasks(10), LIMITS)
    failed = [n for n, outcome in enumerate(outcomes) if isinstance(outcome.said, DeadLetter)]
    assert failed == [3]


async def test_an_engine_that_is_down_ends_it() -> None:
    """As itself, not as a group of errors."""
    engine = ScriptedEngine()
    await engine.stop()
    with pytest.raises(EngineDown):
        await ask(engine, tasks(30), LIMITS)


async def test_nothing_to_ask() -> None:
    """Is answered at once."""
    assert await ask(ScriptedEngine(), [], LIMITS) == []
