"""Which jobs are owed: at most one a key runs, and what comes up meanwhile makes it owed again."""

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Owed(Generic[K]):
    """Debounced jobs by key. Times are seconds on the caller's clock."""

    def __init__(self, max_running: int) -> None:
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._running: set[K] = set()
        self._max_running = max_running
        self._ticket = 0

    def __len__(self) -> int:
        """Keys owed or running."""
        return len(self._due.keys() | self._running)

    @property
    def running(self) -> int:
        """Jobs that run."""
        return len(self._running)

    def owe(self, key: K, due: float) -> None:
        """The job of `key` is due at that time, or earlier if it already is."""
        if due < self._due.get(key, float("inf")):
            self._set(key, due)

    def schedule(self, key: K, due: float) -> None:
        """The job of `key` is due at exactly that time, whatever was owed before."""
        if due != self._due.get(key):
            self._set(key, due)

    def settle(self, key: K) -> None:
        """Nothing is owed to `key` any more. A running job goes on."""
        self._due.pop(key, None)

    def start(self, now: float) -> list[K]:
        """Keys whose job starts now, earliest due first; each is running until `finish`."""
        started: list[K] = []
        while len(self._running) < self._max_running and (due := self.next_due()) is not None and due <= now:
            key = heapq.heappop(self._heap)[2]
            del self._due[key]
            self._running.add(key)
            started.append(key)
        return started

    def finish(self, key: K) -> None:
        """The job of `key` has ended, well or not; what was owed meanwhile can start."""
        self._running.discard(key)
        if key in self._due:
            self._push(key)

    def next_due(self) -> float | None:
        """When `start` will have something; None where nothing is owed or no more may run."""
        if len(self._running) >= self._max_running:
            return None
        while self._heap and not self._stands(*self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _set(self, key: K, due: float) -> None:
        self._due[key] = due
        if key not in self._running:
            self._push(key)

    def _push(self, key: K) -> None:
        self._ticket += 1
        heapq.heappush(self._heap, (self._due[key], self._ticket, key))

    def _stands(self, due: float, _ticket: int, key: K) -> bool:
        """Whether a heap entry still says what is owed; settled and moved ones are dropped when they surface."""
        return self._due.get(key) == due and key not in self._running
