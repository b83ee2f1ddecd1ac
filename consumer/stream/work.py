"""The unit that the batcher packs, what several of them weigh, and when one comes too late."""

import heapq
from collections import Counter
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, TypeVar

from schemas.base import Priority

T = TypeVar("T")


class Rank(IntEnum):
    """Classes of urgency, most urgent first. Jobs (summaries, strengths) rank below fresh reviews."""

    HIGH = 0
    NORMAL = 1
    LOW = 2
    JOB = 3

    @classmethod
    def of(cls, priority: Priority) -> "Rank":
        """The class of what was asked for with a priority."""
        return _OF[priority]


_OF = {Priority.HIGH: Rank.HIGH, Priority.NORMAL: Rank.NORMAL, Priority.LOW: Rank.LOW}


def is_late(deadline: float | None, now: float) -> bool:
    """Whether it is too late to begin; both on one clock, None: there is no deadline."""
    return deadline is not None and now >= deadline


@dataclass(slots=True, eq=False)
class Item(Generic[T]):
    """One item of work. Identity is the object itself: equal contents are still two items.

    Its fields must not change while it waits in a batcher.
    """

    payload: T
    restaurant: str
    """Turns are taken by restaurant; of what a call asks for, by call."""
    rank: Rank
    own_tokens: int
    """Tokens it weighs by itself: prompt without the shared prefix, plus the output it may produce."""
    prefix: str = ""
    prefix_tokens: int = 0
    """Paid once a batch for each different prefix."""
    budget: int | None = None
    """Tokens that a batch with it may have; None: as many as any batch."""
    feed: str = ""
    """The topic whose partitions pause while too much of it waits; none for a job, which those who owe it bound."""
    enqueued_at: float = 0.0
    """Seconds on the caller's clock; set by the batcher."""

    @property
    def alone_tokens(self) -> int:
        """Tokens of a batch that holds this item only."""
        return self.own_tokens + self.prefix_tokens


class Weight:
    """Tokens of a set of items: the own tokens of each, and each distinct prefix once. Every change takes O(1)."""

    def __init__(self) -> None:
        self.tokens = 0
        self._sharers: dict[tuple[str, int], int] = {}  # items by their prefix

    def added_by(self, item: Item[T]) -> int:
        """Tokens that the set gains by one more item."""
        shared = (item.prefix, item.prefix_tokens) in self._sharers
        return item.own_tokens if shared else item.alone_tokens

    def add(self, item: Item[T]) -> None:
        """Count the item in."""
        self.tokens += self.added_by(item)
        prefix = (item.prefix, item.prefix_tokens)
        self._sharers[prefix] = self._sharers.get(prefix, 0) + 1

    def remove(self, item: Item[T]) -> None:
        """Count out an item that was counted in; its prefix goes with the last that shares it."""
        prefix = (item.prefix, item.prefix_tokens)
        self._sharers[prefix] -= 1
        if not self._sharers[prefix]:
            del self._sharers[prefix]
        self.tokens -= self.added_by(item)


class Budgets:
    """The budgets of a set of items, and the smallest of them. Every change takes O(log n), amortised."""

    def __init__(self) -> None:
        self._items: Counter[int] = Counter()
        self._heap: list[int] = []
        """Each counted budget once; one that no item has any more stays, with a count of 0, until it surfaces."""

    def add(self, budget: int | None) -> None:
        """Count an item's budget in."""
        if budget is None:
            return
        if budget not in self._items:
            heapq.heappush(self._heap, budget)
        self._items[budget] += 1

    def remove(self, budget: int | None) -> None:
        """Count out a budget that was counted in."""
        if budget is not None:
            self._items[budget] -= 1

    def smallest(self, most: int) -> int:
        """The smallest of them, and at most `most`."""
        while self._heap and not self._items[self._heap[0]]:
            del self._items[heapq.heappop(self._heap)]
        return min(most, self._heap[0]) if self._heap else most
