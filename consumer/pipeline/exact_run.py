"""A run of an exact copy over its topic: transaction by transaction, tried again after failures, until the end."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from consumer.errors import RetryLater
from consumer.kafka.clients import Unreachable
from consumer.kafka.copying import ExactCopy
from consumer.stream.record import Output, Record
from consumer.stream.retry import RetryAfter, RetryPolicy

POLL_SECONDS = 0.5
"""Longest wait for records, and so for a stop."""
RETRIES = RetryPolicy(max_attempts=6, base=0.5, cap=10.0)
"""Of failures in a row, with a new producer each time."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do. `follow`: go on after the end that was there at the start; `dry`: count, and write nothing."""

    follow: bool = False
    dry: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of some records. `done` is called when that is committed, or would be."""

    outputs: Sequence[Output]
    done: Callable[[], None]


class ExactRun:
    """Reads, makes, writes; `remaining` is told after each transaction how many offsets there are to go."""

    def __init__(self, copy: ExactCopy, plan: Plan, remaining: Callable[[int], None]) -> None:
        self._copy, self._plan, self._remaining = copy, plan, remaining
        self._stopping = False
        self._failures = 0
        """In a row; a transaction that succeeds begins anew."""

    def stop(self) -> None:
        """End after the transaction that is running."""
        self._stopping = True

    async def run(self, begin: Callable[[], Awaitable[Callable[[Sequence[Record]], Step]]]) -> bool:
        """Copy; return whether all was copied that was there at the start.

        `begin` is called when the copy has started, and gives what makes the outputs. Raises ConfigError, Fenced where
        another run of the same topic took over, RetryLater when retries did not help.
        """
        try:
            await self._copy.start()
            make = await begin()
            while (remaining := await self._look()) or self._plan.follow:
                if self._stopping:
                    break
                if records := await self._copy.poll(POLL_SECONDS):
                    step = make(records)
                    if self._plan.dry or await self._written(step.outputs, records):
                        step.done()
        finally:
            await self._copy.stop()
        return remaining == 0

    async def _look(self) -> int:
        remaining = await self._copy.remaining()
        self._remaining(remaining)
        return remaining

    async def _written(self, outputs: Sequence[Output], records: Sequence[Record]) -> bool:
        """Write; False: it was not, and the same records are read again."""
        try:
            await self._copy.write(outputs, records)
        except RetryLater as error:
            await self._start_over(error)
            if not await self._copy.is_past(records[0]):  # a transaction is whole: one record tells of all
                return False
        self._failures = 0
        return True

    async def _start_over(self, failure: RetryLater | Unreachable) -> None:
        """Take a new producer after a pause, again and again. Raises the last failure after too many in a row."""
        while True:
            self._failures += 1
            decided = RETRIES.decide(self._failures, random.random())  # noqa: S311 - spreads retries, guards nothing
            if not isinstance(decided, RetryAfter):
                raise failure
            await asyncio.sleep(decided.seconds)
            try:
                await self._copy.start_over()
            except (RetryLater, Unreachable) as again:
                failure = again
            else:
                return
