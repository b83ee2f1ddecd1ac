"""An engine for staging: the embedded one, that is dead, slow or short of memory when a file says so."""

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

from consumer.analysis.task import Task
from consumer.engines.contract import Answer, Deliver, Fault, Health, Load, Prepared
from consumer.engines.local.engine import LocalEngine
from consumer.errors import EngineDown

SLOW_MARK: Final = "세상에서 가장 긴 리뷰"
"""A review with these words takes SLOW_REVIEW_SECONDS, whatever the mood."""
SLOW_REVIEW_SECONDS: Final = 12.0
BATCH_SECONDS: Final = 0.05
SLOW_BATCH_SECONDS: Final = 8.0


class Mood(StrEnum):
    """What the file says."""

    CALM = "calm"
    DEAD = "dead"
    SLOW = "slow"
    STARVED = "starved"
    """Its KV cache is full and it preempts: told by its load, nothing is computed here."""


class StagedEngine:
    """Obeys the engine contract in every mood."""

    name = "staged"

    def __init__(self, file: Path) -> None:
        self._file, self._inner = file, LocalEngine()
        self._said = self._preemptions = self._running = 0

    @property
    def model(self) -> str:
        """The embedded one's."""
        return self._inner.model

    @property
    def mood(self) -> Mood:
        """As of now."""
        return Mood(self._file.read_text("utf-8").strip())

    async def start(self) -> None:
        """Not while it is dead."""
        self._check()
        await self._inner.start()

    async def stop(self) -> None:
        """As the embedded one."""
        await self._inner.stop()

    def health(self) -> Health:
        """Not ready while it is dead."""
        return Health(False, "staged: dead") if self.mood is Mood.DEAD else self._inner.health()

    def load(self) -> Load:
        """Each time a new statement."""
        starved = self.mood is Mood.STARVED
        self._said += 1
        self._preemptions += 5 if starved else 0
        return Load(self._running, 50 if starved else 0, 0.99 if starved else 0.3, self._preemptions, self._said)

    async def prepare(self, tasks: Sequence[Task], budget: int) -> list[Prepared]:
        """As the embedded one."""
        self._check()
        return await self._inner.prepare(tasks, budget)

    async def run(self, batch: Sequence[Prepared], deliver: Deliver) -> None:
        """What is ordinary first, then what takes long."""
        self._running += len(batch)
        try:
            await asyncio.sleep(SLOW_BATCH_SECONDS if self.mood is Mood.SLOW else BATCH_SECONDS)
            slow = [n for n, prepared in enumerate(batch) if SLOW_MARK in "".join(prepared.task.reviews)]
            await self._answer(batch, [n for n in range(len(batch)) if n not in slow], deliver)
            if slow:
                await asyncio.sleep(SLOW_REVIEW_SECONDS)
                await self._answer(batch, slow, deliver)
        finally:
            self._running -= len(batch)

    async def _answer(self, batch: Sequence[Prepared], places: Sequence[int], deliver: Deliver) -> None:
        self._check()

        def to_its_place(index: int, answer: Answer | Fault) -> None:
            deliver(places[index], answer)

        if places:
            await self._inner.run([batch[n] for n in places], to_its_place)

    def _check(self) -> None:
        if self.mood is Mood.DEAD:
            raise EngineDown("staged: dead")
