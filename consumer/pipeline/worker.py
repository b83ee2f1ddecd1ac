"""The owner of one input partition, from its assignment to its revocation."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from consumer.errors import Fenced, RetryLater
from consumer.hooks.events import Event, What
from consumer.kafka.publisher import Commit, Publisher
from consumer.kafka.source import Source
from consumer.pipeline.workload import Shared, Workload
from consumer.stream.backpressure import LaneFill
from consumer.stream.lane import Lane, Offer
from consumer.stream.record import Partition, Record, size_of

log = logging.getLogger(__name__)

COMMIT_RECORDS = 500
"""Records of one commit: keeps its outputs, and their time, bounded."""
COMMIT_RETRY_SECONDS = 0.5
OPEN_RETRY_SECONDS = 1.0
RESTORE_LOOK_SECONDS = 0.05


class Worker:
    """Opens a lane, offers it records, commits its done prefix. One object per assignment: it is the epoch."""

    def __init__(
        self,
        partition: Partition,
        source: Source,
        publisher: Publisher,
        shared: Shared,
        *,
        make_workload: Callable[["Worker", int], Workload],
        keeps_table: bool,
    ) -> None:
        """What the records mean is decided when the committed offset is known: `make_workload(worker, offset)`.

        `keeps_table`: the topic itself is the lane's state, read anew from its beginning to the committed offset.
        """
        self.partition = partition
        self.closed = False
        """No more records, no more answers."""
        self.lane: Lane[Any] | None = None
        self.reading = False
        """Whether it takes records at all: restored or restoring, and not closed."""
        self._source, self._publisher, self._shared, self._hooks = source, publisher, shared, shared.hooks
        self._keeps_table, self._clock, self._wall = keeps_table, shared.clock, shared.wall
        self._restored = False
        self._draining = False
        self._wake = asyncio.Event()
        self._ended = asyncio.Event()
        self._make_workload = make_workload
        self._workload: Workload | None = None

    @property
    def restored(self) -> bool:
        """Whether its state is whole, so that jobs may start."""
        return self._restored

    def fill(self) -> LaneFill:
        """What is in flight."""
        return LaneFill(len(self.lane), self.lane.size) if self.lane is not None else LaneFill(0, 0)

    def wake(self) -> None:
        """There may be something to commit."""
        self._wake.set()

    def finish(self, offset: int, done: object) -> None:
        """Mark a record as done; late answers of a closed lane are ignored."""
        if self.lane is not None and not self.closed and self.lane.finish(offset, done):
            self._wake.set()

    def receive(self, records: Sequence[Record]) -> int | None:
        """Offer records to the lane, in order. Gives the offset to come back to when it is full, else None."""
        lane = self.lane
        workload = self._workload
        if lane is None or workload is None or self.closed or self._draining:
            return records[0].offset
        for record in records:
            if record.offset < lane.committed:
                if self._keeps_table and not self._restored:
                    workload.restore(record)
                continue
            offer = lane.offer(record.offset, size_of(record))
            if offer is Offer.FULL:
                return record.offset
            if offer is Offer.ACCEPTED:
                workload.receive(record)
        return None

    async def run(self) -> None:
        """Open the lane, then commit until drained or cancelled."""
        try:
            lane, workload = await self._open()
            await self._commit_loop(lane, workload)
        except Fenced as fenced:
            self._hooks(self._event(What.COMMIT_FAILED, reason=Commit.FENCED, detail=str(fenced)))
        finally:
            self._close()

    async def drain(self, seconds: float) -> None:
        """Take no more records, commit what is done, close; at most that long. Whoever runs it cancels it then."""
        self._draining = True
        self._wake.set()
        if self.lane is not None:
            try:
                async with asyncio.timeout(seconds):
                    await self._ended.wait()
            except TimeoutError:
                log.warning("not everything that was done could be committed in time", extra=self.partition._asdict())
        self.closed = True

    async def _open(self) -> tuple[Lane[Any], Workload]:
        """Find out where to begin, and take records from there."""
        while True:
            try:
                beginning = await self._source.beginning(self.partition)
                committed = await self._source.committed(self.partition)
                break
            except RetryLater as error:
                log.warning("a partition cannot be opened yet", extra={**self.partition._asdict(), "error": str(error)})
                await asyncio.sleep(OPEN_RETRY_SECONDS)
        start = beginning if committed is None else max(committed, beginning)
        self._workload = self._make_workload(self, start)
        self.lane = Lane(start, self._shared.limits.max_records, self._shared.limits.max_bytes)
        self._source.seek(self.partition, beginning if self._keeps_table else start)
        self.reading = True
        self._source.resume([self.partition])
        if self._keeps_table:
            await self._until_restored(start)
        self._restored = True
        self._hooks(self._event(What.OPENED, count=start))
        return self.lane, self._workload

    async def _until_restored(self, end: int) -> None:
        """Wait until the table has been read; offsets may be missing, so the position tells, not a record."""
        while not self._draining:
            try:
                if await self._source.position(self.partition) >= end:
                    return
            except RetryLater:
                log.info("the position is not known yet", extra=self.partition._asdict())
            await asyncio.sleep(RESTORE_LOOK_SECONDS)

    async def _commit_loop(self, lane: Lane[Any], workload: Workload) -> None:
        """Commit as soon as there is something and no commit is running. Drained: once more, and out."""
        while True:
            last = self._draining
            while lane.has_done() or workload.has_output():
                await self._commit(lane, workload)
            if last:
                return
            await self._sleep(workload.start_jobs(self._wall()))

    async def _sleep(self, due: float | None) -> None:
        try:
            async with asyncio.timeout(None if due is None else max(0.0, due - self._wall())):
                await self._wake.wait()
        except TimeoutError:
            return
        finally:
            self._wake.clear()

    async def _commit(self, lane: Lane[Any], workload: Workload) -> None:
        """Stage once, and try until it is committed. Raises Fenced when the partition has another owner."""
        prefix = lane.done_prefix(COMMIT_RECORDS)
        staged = workload.stage(prefix.done)
        while True:
            started = self._clock()
            outcome, error = await self._publisher.commit(self.partition, staged.outputs, prefix.next_offset)
            if outcome is Commit.COMMITTED:
                break
            if outcome is Commit.FENCED:
                raise Fenced(error)
            self._hooks(self._event(What.COMMIT_FAILED, reason=outcome, detail=error))
            await asyncio.sleep(COMMIT_RETRY_SECONDS)
        lane.retire(prefix.next_offset)
        staged.settle()
        self._hooks(self._event(What.COMMITTED, count=len(staged.outputs), seconds=self._clock() - started))
        for event in staged.events:
            self._hooks(event)

    def _close(self) -> None:
        if self.lane is not None and self._restored and not self._ended.is_set():
            self._hooks(self._event(What.CLOSED, count=self.lane.committed))
        self.closed = True
        self.reading = False
        self._ended.set()

    def _event(self, what: What, *, reason: str = "", detail: str = "", count: int = 1, seconds: float = 0) -> Event:
        topic, number = self.partition
        return Event(what, topic, number, reason=reason, detail=detail, count=count, seconds=seconds)
