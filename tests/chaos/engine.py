"""An engine whose moods change by a seed: it fails, delivers late and in any order, or stands still for a while."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from random import Random

from consumer.analysis.task import Kind, Task
from consumer.engines.contract import Answer, Deliver, Fault, Health, Load, Prepared
from consumer.errors import EngineDown, RetryLater
from schemas.base import Sentiment
from schemas.codec import encode_document
from tests.chaos.traffic import label_of
from tests.integration.scripted import USUAL, ScriptedEngine

CALM_SECONDS = 0.4
LATE_SECONDS = 3.0
"""The longest that a batch takes in these moods."""
FAILING = 0.4
"""Share of items that a failing engine asks to try again."""


class Mood(StrEnum):
    """How it is for a while."""

    CALM = "calm"
    FAILING = "failing"
    LATE = "late"
    STALLED = "stalled"


_MOODS = {Mood.CALM: 6, Mood.FAILING: 2, Mood.LATE: 2, Mood.STALLED: 1}


def moods(random: Random) -> Iterator[tuple[Mood, float]]:
    """Moods, and how many seconds each lasts."""
    while True:
        (mood,) = random.choices(list(_MOODS), weights=list(_MOODS.values()))
        yield mood, random.uniform(2.0, 8.0)


class ChaosEngine:
    """Obeys the engine contract in every mood. Calm while `calm` says so: in the end for good."""

    name = "chaos"
    model = "chaos-1"

    def __init__(
        self,
        seed: int,
        calm: Callable[[], bool],
        label: Callable[[str], Sentiment] = label_of,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._random = Random(seed)
        self._moods = moods(Random(seed))
        self._calm, self._label, self._clock = calm, label, clock
        self._mood, self._until = Mood.CALM, clock()
        self._prepare = ScriptedEngine().prepare
        self._stopped = False

    async def start(self) -> None:
        """Ready at once, after a stop too."""
        self._stopped = False

    async def stop(self) -> None:
        """Nothing to release; takes no more."""
        self._stopped = True

    def health(self) -> Health:
        """Ready until stopped: moods are no illness."""
        return Health(not self._stopped, "stopped" if self._stopped else "")

    def load(self) -> Load | None:
        """Tells nothing."""
        return None

    async def prepare(self, tasks: Sequence[Task], budget: int) -> list[Prepared]:
        """As the scripted engine does."""
        return await self._prepare(tasks, budget)

    async def run(self, batch: Sequence[Prepared], deliver: Deliver) -> None:
        """Deliver in any order, at a pace and with faults as the mood is."""
        for index in self._random.sample(range(len(batch)), len(batch)):
            await self._pause(len(batch))
            if self._stopped:
                raise EngineDown("stopped")
            deliver(index, self._outcome(batch[index].task))

    def mood(self) -> Mood:
        """The mood now."""
        if self._calm():
            return Mood.CALM
        now = self._clock()
        while now >= self._until:
            self._mood, lasts = next(self._moods)
            self._until += lasts
        return self._mood

    async def _pause(self, items: int) -> None:
        while self.mood() is Mood.STALLED and not self._stopped:
            await asyncio.sleep(0.1)
        longest = LATE_SECONDS if self.mood() is Mood.LATE else CALM_SECONDS
        await asyncio.sleep(self._random.uniform(0, longest / items))

    def _outcome(self, task: Task) -> Answer | Fault:
        if self.mood() is Mood.FAILING and self._random.random() < FAILING:
            return RetryLater("not in the mood")
        if task.kind is not Kind.SENTIMENT:
            return Answer(text=encode_document(USUAL[task.kind]).decode())
        return Answer(label=self._label("".join(task.reviews)))
