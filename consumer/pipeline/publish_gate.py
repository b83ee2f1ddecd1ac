"""Holds the lanes' commits back while Kafka refuses the results of too many records: then the fault is ours."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from consumer.hooks.events import Event, Hooks, What
from consumer.stream.breaker import Breaker, BreakerRules

LOOK_SECONDS = 1.0
"""Between two looks of a lane whose turn has not come; another lane's probe may have ended the wait."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A lane's turn to commit. `most`: records that it may hold; None: any number."""

    most: int | None = None


class PublishGate:
    """One a member. A commit is a lane's own affair, but what refuses its outputs would refuse the others' as well."""

    def __init__(
        self, rules: BreakerRules, hooks: Hooks, *, clock: Callable[[], float], random: Callable[[], float]
    ) -> None:
        self._breaker, self._hooks, self._clock, self._random = Breaker(rules), hooks, clock, random
        self._probing = 0

    @property
    def reason(self) -> str:
        """Why nothing is committed; empty where all is well."""
        return self._breaker.reason

    def takes_no_more(self, waiting: int) -> bool:
        """Whether no more should be taken, with so many records in the lanes: one of those is the next probe."""
        return bool(self.reason and (waiting or self._breaker.pauses(self._clock())))

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn]:
        """Wait until this lane may commit: at once, or as the one probe after a pause. A revocation cancels it."""
        while not self._breaker.admits(self._clock(), self._probing):
            pause = self._breaker.until - self._clock()
            await asyncio.sleep(min(LOOK_SECONDS, pause) if pause > 0 else LOOK_SECONDS)
        if not self.reason:
            yield Turn()
            return
        self._probing += 1
        try:
            yield Turn(most=1)
        finally:
            self._probing -= 1

    def refused(self, turn: Turn, why: Sequence[str]) -> bool:
        """So many records' results were refused, and why: whether they wait, as too many are. A probe's does not."""
        now = self._clock()
        if any(self._breaker.failed(now, said, self._random()) for said in why):
            self._hooks(Event(What.BREAKER, reason="publish", detail=self.reason))
        return bool(self.reason) and turn.most is None

    def committed(self, records: int) -> None:
        """The results of so many records were taken."""
        if records and self._breaker.succeeded(self._clock(), records):
            self._hooks(Event(What.BREAKER, reason="publish", count=0))
