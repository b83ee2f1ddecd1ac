"""When something that failed is tried again, and where it waits until then."""

import heapq
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Try again after a pause of so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """That was the last attempt."""

    attempts: int


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential back-off with jitter. Attempts are counted from 1. Raises ValueError where the numbers contradict.

    A jitter of 0.5 is the "equal jitter", and of 1 the "full jitter", of Brooker, Exponential Backoff And Jitter
    (AWS Architecture Blog, 2015).
    """

    max_attempts: int = 5
    base: float = 0.1
    """Seconds before the second attempt."""
    factor: float = 2.0
    cap: float = 30.0
    """Seconds of the longest pause."""
    jitter: float = 0.5
    """The share of a pause that is left to chance: it shortens the pause, never lengthens it."""

    def __post_init__(self) -> None:
        if self.max_attempts < 1 or not 0 < self.base <= self.cap or self.factor < 1 or not 0 <= self.jitter <= 1:
            raise ValueError(f"need max_attempts >= 1, 0 < base <= cap, factor >= 1 and 0 <= jitter <= 1: {self}")

    def delay(self, attempt: int, random: float) -> float:
        """Seconds between the failed `attempt` and the next one. `random` is uniform in [0, 1)."""
        return self._longest(attempt) * (1 - self.jitter * random)

    def decide(self, attempt: int, random: float) -> RetryAfter | GiveUp:
        """Say what follows the failure of `attempt`. `random` is uniform in [0, 1)."""
        if attempt >= self.max_attempts:
            return GiveUp(attempt)
        return RetryAfter(self.delay(attempt, random))

    def _longest(self, attempt: int) -> float:
        if attempt < 1:
            raise ValueError(f"attempts are counted from 1, not {attempt}")
        try:
            return min(self.cap, self.base * math.pow(self.factor, attempt - 1))
        except OverflowError:  # after a thousand doublings
            return self.cap


class DelayQueue(Generic[T]):
    """Things that wait for their time, in seconds on the caller's clock. Of equal times, first in first out."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._pushed = 0  # breaks ties, so that items are never compared

    def __len__(self) -> int:
        """How many wait."""
        return len(self._heap)

    def __iter__(self) -> Iterator[T]:
        """All that wait, in no order."""
        return (item for _, _, item in self._heap)

    def push(self, item: T, due: float) -> None:
        """Keep the item until `due`."""
        heapq.heappush(self._heap, (due, self._pushed, item))
        self._pushed += 1

    def next_due(self) -> float | None:
        """Return when the next item is due; None if none waits."""
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: float) -> list[T]:
        """Take out all that is due at `now` or before, earliest first."""
        popped = []
        while self._heap and self._heap[0][0] <= now:
            popped.append(heapq.heappop(self._heap)[2])
        return popped

    def discard(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Take out every item that `unwanted` names, earliest first; looks at each one that waits."""
        entries = sorted(self._heap)
        found = {order: item for _, order, item in entries if unwanted(item)}
        self._heap = [entry for entry in entries if entry[1] not in found]  # sorted, and so a heap
        return list(found.values())
