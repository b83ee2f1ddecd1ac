"""A lane's state read back: from its changelog into its store, from where that stands."""

import logging
from collections.abc import Sequence

from consumer.hooks.events import Event, What
from consumer.kafka.changelog import Changelog, Discontinued
from consumer.pipeline.workload import Shared
from consumer.stream.changelog import Entry, collect
from consumer.stream.place import Place
from consumer.stream.record import Partition
from consumer.stream.state import Store

log = logging.getLogger(__name__)


class Restoring:
    """One attempt. Tells how far it has come, and its end, whatever that is."""

    def __init__(self, lane: Partition, changelog: Changelog, store: Store, shared: Shared) -> None:
        self._lane, self._changelog, self._store = lane, changelog, store
        self._hooks, self._clock = shared.hooks, shared.clock
        self._records = 0

    async def run(self) -> None:
        """Raises RetryLater, LaneRefused, ConfigError."""
        started = self._clock()
        try:
            await self._read()
        finally:
            seconds = self._clock() - started
            self._hooks(Event(What.RESTORED, *self._lane, count=self._records, seconds=seconds))

    async def _read(self) -> None:
        """What the store stands on must go on in the changelog: commits are numbered over all owners."""
        known = self._store.place

        def take(records: Sequence[Entry], position: int, end: int) -> None:
            self._take(records, position, end)
            if self._store.place.sequence < known.sequence:
                raise Discontinued(f"it has commit {self._store.place.sequence}, the local state {known.sequence}")

        try:
            await self._changelog.read(self._lane, known.position, take)
        except Discontinued as error:
            log.warning("the local state is thrown away", extra={**self._lane._asdict(), "error": str(error)})
            self._store.clear()
            await self._changelog.read(self._lane, 0, self._take)

    def _take(self, records: Sequence[Entry], position: int, end: int) -> None:
        changes, mark = collect(records, self._store.place.mark)
        self._store.apply(changes, Place(mark, position))
        self._store.flush()
        self._records += len(records)
        self._hooks(Event(What.RESTORING, *self._lane, count=max(0, end - position)))
