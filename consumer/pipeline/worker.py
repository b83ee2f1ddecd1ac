"""The owner of one input partition, from its assignment to its revocation."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any, TypeVar

from consumer.errors import ConfigError, Fenced, LaneRefused, RetryLater
from consumer.hooks.events import Event, What
from consumer.kafka.changelog import Changelog
from consumer.kafka.publisher import Commit, Outcome, Publisher, Publishers, Write
from consumer.kafka.source import Source
from consumer.pipeline.publish_gate import PublishGate, Turn
from consumer.pipeline.restoring import Restoring
from consumer.pipeline.workload import Shared, Staged, Workload
from consumer.stream.backpressure import LaneFill
from consumer.stream.changelog import Entry, entries, mark_entry
from consumer.stream.lane import Lane, Offer, Prefix
from consumer.stream.place import LaneMark, Origin, Place, Standing, Start, where_to_start
from consumer.stream.record import Partition, Record, size_of
from consumer.stream.state import Store

log = logging.getLogger(__name__)

COMMIT_RECORDS = 1000
"""Records of one commit: keeps its outputs, and their time, bounded."""
FLUSH_SECONDS = 1.0
"""Between two writes of a lane's state to the disk: what changes often, and what lies together, is written once."""
COMMIT_RETRY_SECONDS = 0.5
OPEN_RETRY_SECONDS = 1.0
RESTORE_LOOK_SECONDS = 0.05

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ground:
    """What all workers of a member stand on."""

    source: Source
    publishers: Publishers
    changelog: Changelog
    shared: Shared
    fenced: Callable[[], None]
    """Another member owns a partition of ours: the membership is over."""
    gate: PublishGate
    commit_interval: float
    """Seconds between the beginnings of two commits of a lane; 0: as soon as there is something."""
    origin: Origin | None
    """What a person decided about lanes whose state and offset disagree."""


class Keeps(Enum):
    """What a lane keeps of its records."""

    STATE = auto()
    """State in a changelog, committed with every offset."""
    TABLE = auto()
    """The same, and the topic itself is a table, read anew from its beginning to the committed offset."""
    NOTHING = auto()
    """Its outputs are all that becomes of a record: the committed offset alone says where to go on."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """One assignment of one partition."""

    partition: Partition
    generation: int
    """Of the group."""
    partitions: int
    """Partition count of the topic."""
    keeps: Keeps


class Worker:
    """Opens a lane, offers it records, commits its done prefix. One object per assignment: it is the epoch."""

    def __init__(
        self,
        assigned: Assigned,
        ground: Ground,
        open_store: Callable[[], Store],
        make_workload: Callable[["Worker", Store], Workload],
    ) -> None:
        """`open_store` is called in a thread. The workload says what the records mean."""
        self.partition = assigned.partition
        self.closed = False
        """No more records, no more answers."""
        self.lane: Lane[Any] | None = None
        self.reading = False
        """Whether it takes records at all: restored or restoring, and not closed."""
        self.restored = False
        """Whether its state is whole, so that jobs may start."""
        self.refusal = ""
        """Why it takes no records until a person has decided."""
        self.trouble = ""
        """Why its last commit did not succeed; it is tried again."""
        self.start: int | None = None
        """The offset committed before it was assigned, or the first that the topic holds; None: not known yet."""
        self._assigned, self._ground = assigned, ground
        self._open_store = open_store
        self._store: Store | None = None
        self._source, self._shared, self._hooks = ground.source, ground.shared, ground.shared.hooks
        self._clock, self._wall = ground.shared.clock, ground.shared.wall
        self._publisher: Publisher = ground.publishers.publisher(assigned.partition, assigned.generation)
        self._draining = False
        self._wake, self._hurry, self._ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._make_workload = make_workload
        self._workload: Workload | None = None
        self._state_offset = 0
        self._flush_at = 0.0
        self._offers = 0

    def fill(self) -> LaneFill:
        """What is in flight."""
        return LaneFill(len(self.lane), self.lane.size) if self.lane is not None else LaneFill(0, 0)

    def wake(self) -> None:
        """There may be something to commit."""
        self._wake.set()

    def finish(self, offset: int, done: object) -> None:
        """Mark a record as done; late answers of a closed lane are ignored."""
        if self.lane is not None and not self.closed and self.lane.finish(offset, done, self._clock()):
            self._wake.set()

    def offered(self) -> None:
        """What a poll brought has been offered to the lanes it is of, this one or others."""
        self._offers += 1

    def receive(self, records: Sequence[Record]) -> int | None:
        """Offer records to the lane, in order. Gives the offset to come back to when it is full, else None."""
        lane = self.lane
        workload = self._workload
        if lane is None or workload is None or self.closed or self._draining:
            return records[0].offset
        new, back_to = self._take(records, lane, workload)
        if new:
            self._hooks(Event(What.ACCEPTED, *self.partition, count=len(new), records=new))
        for record in new:
            (workload.receive if record.offset >= self._state_offset else workload.receive_again)(record)
        return back_to

    def _take(self, records: Sequence[Record], lane: Lane[Any], workload: Workload) -> tuple[list[Record], int | None]:
        """Those that the lane takes, and the offset to come back to when it is full."""
        new: list[Record] = []
        now = self._clock()
        for record in records:
            if record.offset < lane.committed:
                if self._assigned.keeps is Keeps.TABLE and not self.restored:
                    workload.restore(record)
                continue
            offer = lane.offer(record.offset, size_of(record), record.timestamp, now)
            if offer is Offer.FULL:
                return new, record.offset
            if offer is Offer.ACCEPTED:
                new.append(record)
        return new, None

    async def run(self) -> None:
        """Open the lane, then commit until drained or cancelled."""
        try:
            lane, workload = await self._open()
            await self._commit_loop(lane, workload)
        except Fenced as fenced:
            self._hooks(self._event(What.COMMIT_FAILED, reason=Commit.FENCED, detail=str(fenced)))
            self._ground.fenced()
        except LaneRefused as refused:
            self.refusal = str(refused)
            self._hooks(self._event(What.REFUSED, detail=self.refusal))
        finally:
            await self._close()

    async def drain(self, seconds: float) -> None:
        """Take no more records, commit what is done, close; at most that long. Whoever runs it cancels it then."""
        self._draining = True
        self._wake.set()
        self._hurry.set()
        if self.lane is not None:
            try:
                async with asyncio.timeout(seconds):
                    await self._ended.wait()
            except TimeoutError:
                log.warning("not everything that was done could be committed in time", extra=self.partition._asdict())
        self.closed = True

    def abandon(self) -> None:
        """Commit nothing more, use no more answers. Whoever runs it cancels it then."""
        self._draining = self.closed = True

    @property
    def state_bytes(self) -> int:
        """Of its local state; 0 before it is open and after it has closed."""
        return self._store.size if self._store is not None and not self.closed else 0

    @property
    def store(self) -> Store:
        """The lane's state, once it is open."""
        if self._store is None:
            raise RuntimeError(f"{self.partition} has no state yet")
        return self._store

    async def _open(self) -> tuple[Lane[Any], Workload]:
        """Fence former owners, find out where to begin, restore, and take records from there. In this order."""
        await self._patiently(self._publisher.open)
        self._store = await asyncio.to_thread(self._open_store)
        beginning = await self._patiently(lambda: self._source.beginning(self.partition))
        committed = await self._patiently(lambda: self._source.committed(self.partition))
        self.start = beginning if committed is None else committed
        stateless = self._assigned.keeps is Keeps.NOTHING
        start = Start(max(committed or 0, beginning), 0) if stateless else await self._restored(beginning, committed)
        self._state_offset = start.state_offset
        self._workload = self._make_workload(self, self.store)
        self.lane = Lane(start.offset, self._shared.limits.max_records, self._shared.limits.max_bytes)
        is_table = self._assigned.keeps is Keeps.TABLE
        self._source.seek(self.partition, beginning if is_table else start.offset)
        self.reading = True
        self._source.resume([self.partition])
        if is_table:
            await self._until_table_is_read(start.offset)
        self.restored = True
        self._hooks(self._event(What.OPENED, count=start.offset))
        return self.lane, self._workload

    async def _restored(self, beginning: int, committed: int | None) -> Start:
        """Restore the state, and say where to go on with it. Raises LaneRefused, ConfigError."""
        await self._patiently(self._restore)
        mark = self.store.place.mark
        standing = Standing(*self.partition, self._assigned.partitions, beginning, committed, mark)
        start = where_to_start(standing, self._ground.origin)
        if committed is None and mark is not None and self._shared.delivery == "at_least_once":
            # before the second commit of its state; not before the first: an offset without state would be refused
            await self._patiently(lambda: self._source.commit(self.partition, start.offset))
        return start

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try until it works; a revocation cancels this task."""
        while True:
            try:
                return await attempt()
            except RetryLater as error:
                log.warning("a partition cannot be opened yet", extra={**self.partition._asdict(), "error": str(error)})
                await asyncio.sleep(OPEN_RETRY_SECONDS)

    async def _restore(self) -> None:
        await Restoring(self.partition, self._ground.changelog, self.store, self._shared).run()

    async def _until_table_is_read(self, end: int) -> None:
        """Wait until the table has been read; offsets may be missing, so the position tells, not a record.

        The position moves when a poll collects its records, before they are offered: so one more offer is waited for.
        """
        reached: int | None = None
        while not self._draining and (reached is None or self._offers == reached):
            try:
                if reached is None and await self._source.position(self.partition) >= end:
                    reached = self._offers
            except RetryLater:
                log.info("the position is not known yet", extra=self.partition._asdict())
            await asyncio.sleep(RESTORE_LOOK_SECONDS)

    async def _commit_loop(self, lane: Lane[Any], workload: Workload) -> None:
        """Commit when there is something, and the interval is over. Drained: once more, and out."""
        while True:
            last = self._draining
            while lane.has_done() or workload.has_output():
                began = self._clock()
                await self._commit(lane, workload)
                await self._flush()
                await self._pause(began + self._ground.commit_interval - self._clock())
            if last:
                return
            await self._sleep(workload.start_jobs(self._wall()))

    async def _flush(self) -> None:
        """Now and then, and in a thread: a disk takes its time. What a crash loses of it is read from the changelog."""
        if self._clock() >= self._flush_at:
            await asyncio.to_thread(self.store.flush)
            self._flush_at = self._clock() + FLUSH_SECONDS

    async def _pause(self, seconds: float) -> None:
        """Let more come together for the next commit; not when draining."""
        if seconds > 0 and not self._hurry.is_set():
            try:
                async with asyncio.timeout(seconds):
                    await self._hurry.wait()
            except TimeoutError:
                return

    async def _sleep(self, due: float | None) -> None:
        try:
            async with asyncio.timeout(None if due is None else max(0.0, due - self._wall())):
                await self._wake.wait()
        except TimeoutError:
            return
        finally:
            self._wake.clear()

    async def _commit(self, lane: Lane[Any], workload: Workload) -> None:
        """Try until something is committed. Raises Fenced when the partition has another owner."""
        refused: dict[object, str] = {}
        committed = False
        while not committed:
            async with self._ground.gate.turn() as turn:
                committed = await self._commit_now(lane, workload, turn, refused)

    async def _commit_now(self, lane: Lane[Any], workload: Workload, turn: Turn, refused: dict[object, str]) -> bool:
        """Stage, and commit. False: of too many records the results are refused, and nothing is committed now.

        What was refused before that stays so: in at_least_once its dead letter may be written already.
        """
        while True:
            prefix, staged, changed = self._stage(lane, workload, refused, turn.most or COMMIT_RECORDS)
            mark, known = self._next_mark(prefix.next_offset), set(refused)
            if (position := await self._written(staged, changed, mark, refused)) is not None:
                break
            found = {one: why for one, why in refused.items() if one not in known}
            if self._ground.gate.refused(turn, [why for one, why in found.items() if _is_record(one)]):
                for one in found:
                    del refused[one]
                return False
        left = lane.retire(prefix.next_offset)
        if self._assigned.keeps is not Keeps.NOTHING:
            self.store.apply(staged.changes, Place(mark, position))
        staged.settle()
        self._ground.gate.committed(len(prefix.done) - sum(map(_is_record, refused)))
        for event in staged.events:
            self._hooks(event)
        times = [(slot.timestamp, slot.done_at) for slot in left] if staged.times is None else staged.times
        if left or times:
            self._tell_times(times, prefix.next_offset)
        return True

    def _stage(
        self, lane: Lane[Any], workload: Workload, refused: dict[object, str], most: int
    ) -> tuple[Prefix[Any], Staged, list[Entry]]:
        """What goes into one commit: as many of the done records as its state changes have room for. And those."""
        records, largest = most, self._publisher.largest
        while True:
            prefix = lane.done_prefix(records)
            staged = workload.stage(prefix.done, refused)
            changed = entries(staged.changes)
            if largest is None or len(prefix.done) <= 1 or _size(changed) <= largest:
                return prefix, staged, changed
            records = len(prefix.done) // 2

    async def _written(
        self, staged: Staged, changed: Sequence[Entry], mark: LaneMark, refused: dict[object, str]
    ) -> int | None:
        """Commit exactly this, however often it takes. None where Kafka refuses some of it: see `refused` then."""
        place = self.store.place
        kept = () if self._assigned.keeps is Keeps.NOTHING else (*changed, mark_entry(mark))
        write = Write(staged.outputs, kept, mark.offset, mark.sequence, place.position)
        while True:
            started = self._clock()
            outcome = await self._publisher.commit(write)
            self._tell_commit(outcome, len(staged.outputs), self._clock() - started)
            self.trouble = "" if outcome.commit in {Commit.COMMITTED, Commit.REFUSED} else outcome.detail
            if outcome.commit is Commit.COMMITTED:
                return outcome.position
            if outcome.commit is Commit.FENCED:
                raise Fenced(outcome.detail)
            if outcome.commit is Commit.REFUSED:
                refused |= _refused(staged, outcome, refused)
                return None
            await asyncio.sleep(COMMIT_RETRY_SECONDS)

    def _tell_commit(self, outcome: Outcome, outputs: int, seconds: float) -> None:
        what = What.COMMITTED if outcome.commit is Commit.COMMITTED else What.COMMIT_FAILED
        event = Event(what, *self.partition, reason=outcome.commit, count=outputs, seconds=seconds)
        self._hooks(event if what is What.COMMITTED else replace(event, detail=outcome.detail))

    def _tell_times(self, times: Sequence[tuple[int, float]], next_offset: int) -> None:
        """How long the records of a commit took: their Kafka timestamps (ms), and when each was done."""
        now, wall = self._clock(), self._wall()
        waits, ages = [now - done for _, done in times], [max(0.0, wall - stamp / 1000) for stamp, _ in times]
        self._hooks(Event(What.PUBLISHED, *self.partition, count=next_offset, values=waits))
        self._hooks(Event(What.LATENCY, *self.partition, values=ages))

    def _next_mark(self, offset: int) -> LaneMark:
        sequence = self.store.place.sequence + 1
        return LaneMark(offset, sequence, self._assigned.partitions, delivery=self._shared.delivery)

    async def _close(self) -> None:
        self.closed = True
        self.reading = False
        if (
            self._store is not None
        ):  # before anything is awaited: the next owner may be of this process, and wants the file
            self._store.close()
        await self._publisher.close()
        if self.lane is not None and self.restored and not self._ended.is_set():
            self._hooks(self._event(What.CLOSED, count=self.lane.committed))
        self._ended.set()

    def _event(self, what: What, *, reason: str = "", detail: str = "", count: int = 1) -> Event:
        return Event(what, *self.partition, reason=reason, detail=detail, count=count)


def _is_record(origin: object) -> bool:
    """Jobs' outputs come from other things than an offset."""
    return isinstance(origin, int)


def _size(entries: Sequence[Entry]) -> int:
    return sum(len(key) + len(value or b"") + 32 for key, value in entries)


def _refused(staged: Staged, outcome: Outcome, known: Mapping[object, str]) -> dict[object, str]:
    """Why, by the refused outputs' origin. Raises ConfigError where leaving those out would not help."""
    outputs = [staged.outputs[index] for index in outcome.refused]
    for output in outputs:
        if output.origin is None or output.origin in known:
            raise ConfigError(
                f"{output.topic} refuses what must be written ({outcome.detail}): see `review-consumer topics check`"
            )
    return {output.origin: f"{output.topic}: {outcome.detail}" for output in outputs}
