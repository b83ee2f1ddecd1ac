"""The ordered window of one input partition in one assignment."""

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import Generic, TypeVar

D = TypeVar("D")


class Offer(Enum):
    """What became of an offered record."""

    ACCEPTED = auto()
    STALE = auto()
    """Below the lane's next offset: already in the window, or done."""
    FULL = auto()
    """No room: offer it again after some records have left."""


@dataclass(slots=True)
class Slot(Generic[D]):
    """One record of the window. Seconds on the caller's clock."""

    offset: int
    size: int
    timestamp: int
    """Kafka's, milliseconds since 1970."""
    taken_at: float
    done: D | None = None
    finished: bool = False
    done_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Prefix(Generic[D]):
    """Done records that nothing unfinished precedes, and the offset to commit after them."""

    done: tuple[D, ...]
    next_offset: int


class Lane(Generic[D]):
    """Knows each delivered offset and whether it is done; records leave it as an unbroken prefix, in offset order.

    D is what a finished record leaves behind (its outputs, or what they are made from). Bounded by count and bytes;
    a record larger than the whole byte limit is taken when the lane is empty, so that it cannot block for ever.
    """

    def __init__(self, committed: int, max_records: int, max_bytes: int) -> None:
        self.committed = committed
        """The committed offset: never passes the lowest unfinished record, never goes back."""
        self.next = committed
        """The lowest offset that was not accepted yet."""
        self.size = 0
        """Bytes of the records in the window."""
        self._max_records, self._max_bytes = max_records, max_bytes
        self._window: deque[Slot[D]] = deque()
        self._unfinished: dict[int, Slot[D]] = {}

    def __len__(self) -> int:
        """Records in the window, finished or not."""
        return len(self._window)

    @property
    def unfinished(self) -> int:
        """Records in the window that are not done."""
        return len(self._unfinished)

    def has_room(self, size: int) -> bool:
        """Whether a record of this many bytes would be accepted now."""
        return not self._window or (len(self._window) < self._max_records and self.size + size <= self._max_bytes)

    @property
    def oldest(self) -> Slot[D] | None:
        """The lowest record that is not committed."""
        return self._window[0] if self._window else None

    @property
    def oldest_unfinished(self) -> Slot[D] | None:
        """The lowest record that is not done."""
        return next(iter(self._unfinished.values()), None)

    def offer(self, offset: int, size: int, timestamp: int = 0, now: float = 0.0) -> Offer:
        """Take a delivered record into the window, if it is new and there is room. `timestamp`: Kafka's, in ms."""
        if offset < self.next:
            return Offer.STALE
        if not self.has_room(size):
            return Offer.FULL
        slot: Slot[D] = Slot(offset, size, timestamp, now)
        self._window.append(slot)
        self._unfinished[offset] = slot
        self.next = offset + 1
        self.size += size
        return Offer.ACCEPTED

    def finish(self, offset: int, done: D, now: float = 0.0) -> bool:
        """Mark a record as done. False, and nothing changes, if it is not waiting (a late second answer)."""
        slot = self._unfinished.pop(offset, None)
        if slot is None:
            return False
        slot.done, slot.finished, slot.done_at = done, True, now
        return True

    def has_done(self) -> bool:
        """Whether the lowest record is done: something can be committed."""
        return bool(self._window) and self._window[0].finished

    def done_prefix(self, limit: int) -> Prefix[D]:
        """At most `limit` of the done records that nothing unfinished precedes; they stay until `retire`."""
        done: list[D] = []
        next_offset = self.committed
        for slot in self._window:
            if not slot.finished or len(done) >= limit:
                break
            done.append(slot.done)  # type: ignore[arg-type] # finished slots hold a D
            next_offset = slot.offset + 1
        return Prefix(tuple(done), next_offset)

    def retire(self, next_offset: int) -> list[Slot[D]]:
        """Drop the records below an offset whose commit succeeded, and give them. ValueError if one is not done."""
        if next_offset < self.committed:
            raise ValueError(f"offset {next_offset} is below the committed {self.committed}")
        left: list[Slot[D]] = []
        while self._window and self._window[0].offset < next_offset:
            if not self._window[0].finished:
                raise ValueError(f"record {self._window[0].offset} is not done, {next_offset} cannot be committed")
            left.append(self._window.popleft())
            self.size -= left[-1].size
        self.committed = next_offset
        return left
