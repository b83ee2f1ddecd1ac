"""Copies a topic that is keyed some other way into the reviews topic, exactly once; goes on where it was stopped."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from consumer.errors import ConfigError, DeadLetter, RetryLater
from consumer.kafka.clients import Unreachable
from consumer.kafka.copying import ExactCopy, Route
from consumer.pipeline.outputs import dead_letter
from consumer.settings import Settings
from consumer.stream.record import Output, Record
from consumer.stream.rekey import Rekeying
from consumer.stream.retry import RetryAfter, RetryPolicy

POLL_SECONDS = 0.5
"""Longest wait for records, and so for a stop."""
RETRIES = RetryPolicy(max_attempts=6, base=0.5, cap=10.0)
"""Of failures in a row, with a new producer each time."""


@dataclass(slots=True)
class Count:
    """What was done, or would be."""

    copied: int = 0
    dead: Counter[str] = field(default_factory=Counter)
    """Dead letters by reason."""

    @property
    def all(self) -> int:
        """Records read and done with."""
        return self.copied + self.dead.total()


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do. `follow`: go on after the end that was there at the start; `dry`: count, and write nothing."""

    follow: bool = False
    dry: bool = False


def route_of(settings: Settings, source: str) -> Route:
    """Source and targets. Raises ConfigError where the source is one of the targets."""
    names = settings.topics
    if source in {names.reviews, names.dlq}:
        raise ConfigError(f"{source} cannot be copied into itself: name the topic that is keyed some other way")
    return Route(source, (names.reviews, names.dlq), f"{settings.delivery.kafka_group_id}.rekey")


class Rekey:
    """One run over one topic. `tell` is called after each transaction, with the count and the records that remain."""

    def __init__(
        self,
        settings: Settings,
        source: str,
        plan: Plan,
        wall: Callable[[], float],
        tell: Callable[[Count, int], None],
    ) -> None:
        self._settings, self._plan, self._wall, self._tell = settings, plan, wall, tell
        self._copy = ExactCopy(settings.kafka, route_of(settings, source), dry=plan.dry)
        self._stopping = False
        self._failures = 0
        """In a row; a transaction that succeeds begins anew."""
        self.count = Count()

    @property
    def deleted(self) -> int:
        """Records that retention took before they were copied."""
        return self._copy.deleted

    def stop(self) -> None:
        """End after the transaction that is running."""
        self._stopping = True

    async def run(self) -> bool:
        """Copy; return whether all was copied that was there at the start.

        Raises ConfigError, Fenced where another run of the same topic took over, RetryLater when retries did not help.
        """
        try:
            await self._copy.start()
            names = self._settings.topics
            kind = self._settings.delivery.key_partitioner
            rekeying = Rekeying(names.reviews, kind, self._copy.partitions[names.reviews])
            while (remaining := await self._look()) or self._plan.follow:
                if self._stopping:
                    break
                await self._step(rekeying, await self._copy.poll(POLL_SECONDS))
        finally:
            await self._copy.stop()
        return remaining == 0

    async def _look(self) -> int:
        remaining = await self._copy.remaining()
        self._tell(self.count, remaining)
        return remaining

    async def _step(self, rekeying: Rekeying, records: Sequence[Record]) -> None:
        if not records:
            return
        step = Count()
        outputs = [self._output(rekeying, record, step) for record in records]
        if self._plan.dry or await self._written(outputs, records):
            self.count.copied += step.copied
            self.count.dead += step.dead

    def _output(self, rekeying: Rekeying, record: Record, count: Count) -> Output:
        try:
            made = rekeying.copy(record)
        except DeadLetter as fault:
            count.dead[fault.reason] += 1
            return dead_letter(self._settings.topics.dlq, record, fault, 1, self._wall())
        count.copied += 1
        return made

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
