"""The engine of the chaos runs keeps the contract while it is calm; in its other moods it fails as engines may."""

import asyncio
from collections.abc import Sequence
from random import Random

import pytest

from consumer.analysis.task import Kind, Task
from consumer.engines.contract import Answer, Engine, Fault
from consumer.errors import RetryLater
from schemas.base import Sentiment
from tests.chaos.engine import ChaosEngine, Mood, moods
from tests.contract.engine_suite import BUDGET, Delivered, EngineSuite


def _by_word(text: str) -> Sentiment:
    return Sentiment.NEGATIVE if "실망" in text else Sentiment.POSITIVE


class TestChaosEngine(EngineSuite):
    """Everything that every engine promises."""

    def make(self) -> Engine:
        """Calm from the start."""
        return ChaosEngine(1, calm=lambda: True, label=_by_word)


def _in_mood(mood: Mood) -> ChaosEngine:
    """An engine at the first moment at which its seed's mood is this one."""
    now = 1000.0
    engine = ChaosEngine(1, calm=lambda: False, clock=lambda: now)
    while engine.mood() is not mood:
        now += 0.5
    return engine


async def _run(engine: ChaosEngine, tasks: Sequence[Task]) -> dict[int, Answer | Fault]:
    delivered = Delivered()
    await engine.run(await engine.prepare(tasks, BUDGET), delivered)
    return delivered.outcomes


TASKS = [Task(Kind.SENTIMENT, "ko", (f"리뷰 {n} {label}",)) for n in range(10) for label in Sentiment]


async def test_every_review_gets_the_label_that_it_names_in_any_order() -> None:
    """Not in the order of the batch."""
    outcomes = await _run(_in_mood(Mood.CALM), TASKS)
    assert sorted(outcomes) == list(range(30))
    assert list(outcomes) != sorted(outcomes)
    for index, outcome in outcomes.items():
        assert isinstance(outcome, Answer)
        assert outcome.label == list(Sentiment)[index % 3]


async def test_failing_it_asks_for_another_try_of_some() -> None:
    """Never for a dead letter: only poison is one in these runs."""
    outcomes = list((await _run(_in_mood(Mood.FAILING), TASKS)).values())
    faults = [outcome for outcome in outcomes if not isinstance(outcome, Answer)]
    assert 0 < len(faults) < len(outcomes)
    assert all(isinstance(fault, RetryLater) for fault in faults)


async def test_stalled_it_delivers_nothing_and_can_be_cancelled() -> None:
    """Its clock stands still, so it would stall for ever."""
    engine = _in_mood(Mood.STALLED)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            assert not await _run(engine, TASKS)


def test_when_told_so_it_is_calm() -> None:
    """Whatever it was before: the drain at the end must not wait for a mood."""
    now = 0.0
    engine = ChaosEngine(1, calm=lambda: now >= 100, clock=lambda: now)
    seen = set()
    while now < 100:
        seen.add(engine.mood())
        now += 0.5
    assert seen == set(Mood)
    assert engine.mood() is Mood.CALM


def test_moods_are_the_seeds() -> None:
    """And last some seconds."""
    one, same = moods(Random(3)), moods(Random(3))
    for _ in range(50):
        mood, lasts = next(one)
        assert (mood, lasts) == next(same)
        assert 2 <= lasts <= 8
