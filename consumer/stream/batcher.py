"""Micro-batches: which waiting items go to the engine together, in what order, and when.

Order: the most urgent class first. Within a class restaurants take turns, one item each; a restaurant that comes back
joins at the tail. A restaurant's own items go in the order they entered the class. An item that has waited `aging`
seconds in its class moves to the tail of its restaurant's queue in the next more urgent one, at most one class a
`take`: no class starves, and a restaurant's flood still gets one turn a round after it has aged.

Nothing is skipped: the first item in turn that does not fit closes the batch, so a heavy item is never overtaken for
ever. An item may bring a budget of its own, below the limit: a batch never exceeds the smallest of its items'.

Every operation takes constant time an item, amortised over its at most four classes: the queues are linked
dictionaries, so an item leaves from the middle of one at no cost, and an emptied queue goes with its restaurant.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Generic, TypeVar

from consumer.stream.work import Budgets, Item, Rank, Weight

T = TypeVar("T")


class FlushReason(StrEnum):
    """Why a batch was sent."""

    FULL_TOKENS = "full_tokens"
    """The next item would have exceeded the budget, or the tokens available."""
    FULL_ITEMS = "full_items"
    """It holds as many items as a batch may."""
    LINGER = "linger"
    """Enough items for a batch, after the short linger."""
    LINGER_MAX = "linger_max"
    """The oldest item had waited the long linger."""
    FLUSH = "flush"
    """The caller asked for it before it was due."""
    APART = "apart"
    """Its items failed together before, and are kept apart from others: see `apart.py`."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """When a batch is full, and how long items wait for company. Raises ValueError where the limits contradict."""

    max_tokens: int = 4000
    """The budget: hard, prefixes included."""
    min_items: int = 10
    max_items: int = 100
    linger: float = 0.02
    """Seconds the oldest item waits once there are `min_items`."""
    linger_max: float = 0.2
    """Seconds the oldest item waits at most."""
    aging: float = 2.0
    """Seconds in a class after which an item rises to the next more urgent one."""

    def __post_init__(self) -> None:
        if self.max_tokens < 1 or not 1 <= self.min_items <= self.max_items:
            raise ValueError(f"limits need max_tokens >= 1 and 1 <= min_items <= max_items: {self}")
        if not 0 <= self.linger <= self.linger_max or self.aging <= 0:
            raise ValueError(f"limits need 0 <= linger <= linger_max and aging > 0: {self}")


@dataclass(frozen=True, slots=True)
class Batch(Generic[T]):
    """Items that go to the engine together, in the order of their turns; never empty."""

    items: tuple[Item[T], ...]
    tokens: int
    """The own tokens of all, and each distinct prefix once."""
    reason: FlushReason

    def without(self, unwanted: Callable[[Item[T]], bool]) -> "Batch[T] | None":
        """The batch less the items that `unwanted` names; None where no item is left."""
        left = tuple(item for item in self.items if not unwanted(item))
        if len(left) == len(self.items):
            return self
        weight = Weight()
        for item in left:
            weight.add(item)
        return Batch(left, weight.tokens, self.reason) if left else None


class Batcher(Generic[T]):
    """Waiting items, packed into batches that never exceed their budget or their item limit.

    Times are seconds on one clock that never goes back. A batch is due when waiting work fills one, when `min_items`
    wait and the oldest of all has waited `linger`, or when the oldest has waited `linger_max`. A caller that takes
    until it gets None, whenever `next_due` has come, leaves nothing waiting beyond `linger_max`.

    Nothing here bounds what waits: backpressure does, by `tokens_of`.
    """

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._turns = {rank: _Turns[T]() for rank in Rank}  # most urgent first, as Rank is
        self._waiting: OrderedDict[Item[T], _Turns[T]] = OrderedDict()  # oldest first, each with where it waits now
        self._weight, self._budgets = Weight(), Budgets()
        self._by_feed: defaultdict[str, Weight] = defaultdict(Weight)  # as many as there are input topics

    def __len__(self) -> int:
        """Items that wait."""
        return len(self._waiting)

    def __iter__(self) -> Iterator[Item[T]]:
        """Items that wait, oldest first."""
        return iter(self._waiting)

    @property
    def limits(self) -> BatchLimits:
        """When a batch of its is full."""
        return self._limits

    @property
    def tokens(self) -> int:
        """Tokens that wait: the own tokens of all, and each distinct prefix once."""
        return self._weight.tokens

    def tokens_of(self, feed: str) -> int:
        """The same, of one topic's records alone: neither jobs nor another topic's flood keep a record out."""
        return self._by_feed[feed].tokens

    def add(self, item: Item[T], now: float) -> None:
        """Let an item wait for its turn.

        Raises ValueError if it waits already, or could never be sent: it must weigh at least one token and, with its
        prefix, no more than the budget, its own too. The caller truncates before.
        """
        if item in self._waiting:
            raise ValueError(f"an item of restaurant {item.restaurant!r} was added twice")
        budget = _smaller(self._limits.max_tokens, item.budget)
        if item.own_tokens < 1 or item.prefix_tokens < 0 or item.alone_tokens > budget:
            raise ValueError(
                f"an item of {item.own_tokens} tokens after a prefix of {item.prefix_tokens} "
                f"does not fit a batch of {budget}"
            )
        item.enqueued_at = now
        turns = self._turns[item.rank]
        turns.enter(item, now)
        self._waiting[item] = turns
        self._weight.add(item)
        self._by_feed[item.feed].add(item)
        self._budgets.add(item.budget)

    def withdraw(self, item: Item[T]) -> bool:
        """Forget an item that is no longer wanted. False if it does not wait: it was taken, or never added."""
        turns = self._waiting.pop(item, None)
        if turns is None:
            return False
        turns.leave(item)
        self._weight.remove(item)
        self._by_feed[item.feed].remove(item)
        self._budgets.remove(item.budget)
        return True

    def discard(self, unwanted: Callable[[Item[T]], bool]) -> list[Item[T]]:
        """Withdraw every waiting item that `unwanted` names, oldest first; looks at each one that waits."""
        found = [item for item in self._waiting if unwanted(item)]
        for item in found:
            self.withdraw(item)
        return found

    def due(self, now: float, *, max_items: int | None = None) -> bool:
        """Whether `take` with the same arguments, and room enough, would return a batch."""
        due_at = self.next_due(max_items=max_items)
        return due_at is not None and due_at <= now

    def next_due(self, *, max_items: int | None = None) -> float | None:
        """Return when a batch is due if nothing more is added: in the past if it is full, None if nothing waits."""
        return self._next_due(self._cap(max_items))[0] if self._waiting else None

    def take(
        self,
        now: float,
        tokens_available: int | None = None,
        *,
        max_items: int | None = None,
        flush: bool = False,
    ) -> Batch[T] | None:
        """Return the next batch if one is due, else None.

        `tokens_available` is the room in the engine (None: no bound). A due batch is cut to fit it. If not even the
        first item in turn fits, nothing is taken and nobody overtakes it: the caller comes back when there is more
        room. `max_items` lowers the item limit for this call, where tokens are only estimated. `flush` sends what waits
        without waiting for company.
        """
        cap = self._cap(max_items)
        self._age(now)
        if not self._waiting:
            return None
        due_at, reason = self._next_due(cap)
        if due_at > now:
            if not flush:
                return None
            reason = FlushReason.FLUSH
        budget = self._limits.max_tokens
        return self._pack(budget if tokens_available is None else min(budget, tokens_available), cap, reason)

    def _cap(self, max_items: int | None) -> int:
        if max_items is None:
            return self._limits.max_items
        if max_items < 1:
            raise ValueError(f"a batch holds at least one item, not max_items={max_items}")
        return min(max_items, self._limits.max_items)

    def _next_due(self, cap: int) -> tuple[float, FlushReason]:
        """Return when what waits is due, and by which rule. `due` and `take` both go by it, so they never disagree."""
        since, limits = next(iter(self._waiting)).enqueued_at, self._limits
        if len(self._waiting) >= cap:
            return since, FlushReason.FULL_ITEMS
        if self._weight.tokens >= self._budgets.smallest(limits.max_tokens):  # it fills one, or some item closes it
            return since, FlushReason.FULL_TOKENS
        if len(self._waiting) >= limits.min_items:
            return since + limits.linger, FlushReason.LINGER
        return since + limits.linger_max, FlushReason.LINGER_MAX

    def _age(self, now: float) -> None:
        for upper, lower in pairwise(self._turns.values()):  # most urgent first: an item rises one class a call
            while (item := lower.entered_by(now - self._limits.aging)) is not None:
                lower.leave(item)
                upper.enter(item, now)
                self._waiting[item] = upper

    def _pack(self, budget: int, cap: int, reason: FlushReason) -> Batch[T] | None:
        items: list[Item[T]] = []
        weight = Weight()
        while self._waiting:
            if len(items) == cap:
                reason = FlushReason.FULL_ITEMS
                break
            turns = next(turns for turns in self._turns.values() if turns)
            item = turns.first()
            tighter = _smaller(budget, item.budget)
            if weight.tokens + weight.added_by(item) > tighter:
                reason = FlushReason.FULL_TOKENS
                break
            budget = tighter
            weight.add(item)
            items.append(item)
            self.withdraw(item)
            turns.end_turn(item.restaurant)
        return Batch(tuple(items), weight.tokens, reason) if items else None


def _smaller(budget: int, own: int | None) -> int:
    return budget if own is None else min(budget, own)


class _Turns(Generic[T]):
    """The items of one class: restaurants take turns, and a restaurant's items go in the order they entered."""

    def __init__(self) -> None:
        self._queues: OrderedDict[str, OrderedDict[Item[T], None]] = OrderedDict()  # in the order of their turns
        self._entered: OrderedDict[Item[T], float] = OrderedDict()  # in the order of entering, with its time

    def __len__(self) -> int:
        return len(self._entered)

    def enter(self, item: Item[T], now: float) -> None:
        """Queue the item at its restaurant's tail; a restaurant without a queue gets one at the tail of the turns."""
        self._entered[item] = now
        queue = self._queues.get(item.restaurant)
        if queue is None:
            queue = self._queues[item.restaurant] = OrderedDict()
        queue[item] = None

    def leave(self, item: Item[T]) -> None:
        """Take the item out, wherever it stands; an emptied queue goes with it."""
        del self._entered[item]
        queue = self._queues[item.restaurant]
        del queue[item]
        if not queue:
            del self._queues[item.restaurant]

    def first(self) -> Item[T]:
        """Return the item whose turn it is; there must be one."""
        return next(iter(next(iter(self._queues.values()))))

    def end_turn(self, restaurant: str) -> None:
        """Send the restaurant to the tail of the turns, if it has more items."""
        if restaurant in self._queues:
            self._queues.move_to_end(restaurant)

    def entered_by(self, moment: float) -> Item[T] | None:
        """Return the item that is here longest, if it entered at `moment` or before."""
        item = next(iter(self._entered), None)
        return item if item is not None and self._entered[item] <= moment else None
