"""What always holds of the batcher, whatever is added, taken, withdrawn and however time passes."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count as counting

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from consumer.stream.batcher import Batch, Batcher, BatchLimits, FlushReason
from consumer.stream.work import Budgets, Item, Rank

Work = Item[int]
RESTAURANTS = ["a", "b", "c", "d"]
PREFIXES = {"": 0, "sentiment": 30, "summary": 70}
LIMITS = st.builds(
    BatchLimits,
    max_tokens=st.integers(100, 400),
    min_items=st.integers(1, 3),
    max_items=st.integers(3, 8),
    linger=st.sampled_from([0.0, 0.02]),
    linger_max=st.sampled_from([0.02, 0.2]),
    aging=st.sampled_from([0.1, 2.0]),
)


def weight(items: list[Work]) -> int:
    """The definition, the slow way: own tokens of all, and each distinct prefix once."""
    return sum(i.own_tokens for i in items) + sum({i.prefix: i.prefix_tokens for i in items}.values())


def smallest(most: int, items: Iterable[Work]) -> int:
    """The smallest budget of some items, and at most `most`."""
    return min([most, *(item.budget for item in items if item.budget is not None)])


@dataclass(eq=False)
class Place:
    """Where the rules say that a waiting item stands."""

    rank: Rank
    entered: float
    order: int


class BatcherMachine(RuleBasedStateMachine):
    """Compares with the rules themselves, applied to a plain table of what waits."""

    @initialize(limits=LIMITS)
    def start(self, limits: BatchLimits) -> None:
        """Begin with an empty batcher at time 0."""
        self.limits = limits
        self.batcher: Batcher[int] = Batcher(limits)
        self.now = 0.0
        self.places: dict[Work, Place] = {}  # what waits, oldest first
        self.gone: Counter[int] = Counter()  # taken or withdrawn
        self.entries = 0
        self.orders = counting()

    @rule(
        restaurant=st.sampled_from(RESTAURANTS),
        rank=st.sampled_from(Rank),
        own=st.integers(1, 60),
        prefix=st.sampled_from(sorted(PREFIXES)),
        number=st.integers(1, 6),
        budget=st.none() | st.sampled_from([60, 120, 250, 1000]),
    )
    def add(self, restaurant: str, rank: Rank, own: int, prefix: str, number: int, budget: int | None) -> None:
        """Some items of one restaurant arrive; those that could never be sent are refused."""
        for _ in range(number):
            item = Item(self.entries, restaurant, rank, own, prefix, PREFIXES[prefix], budget)
            if own + PREFIXES[prefix] > smallest(self.limits.max_tokens, [item]):
                self._refuses(item)
                continue
            self.batcher.add(item, self.now)
            self._enter(item, rank)

    @rule(seconds=st.sampled_from([0.001, 0.01, 0.02, 0.1, 0.2, 1.0, 2.0]))
    def pass_time(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds

    @precondition(lambda self: self.places)
    @rule()
    def wait_until_due(self) -> None:
        """At the very moment that `next_due` names, a batch is due, and no later than the long linger."""
        due_at = self.batcher.next_due()
        assert due_at is not None
        oldest = next(iter(self.places))
        assert oldest.enqueued_at <= due_at <= oldest.enqueued_at + self.limits.linger_max
        self.now = max(self.now, due_at)
        assert self.batcher.due(self.now)

    @rule(
        room=st.none() | st.integers(0, 450),
        max_items=st.none() | st.integers(1, 10),
        flush=st.booleans(),
    )
    def take(self, room: int | None, max_items: int | None, flush: bool) -> None:  # noqa: FBT001 - drawn
        """One take: within its limits, in order, exactly when due."""
        cap = min(self.limits.max_items, max_items or self.limits.max_items)
        budget = min(self.limits.max_tokens, self.limits.max_tokens if room is None else room)
        due = self._is_due(cap)
        assert self.batcher.due(self.now, max_items=max_items) == due
        self._age()
        batch = self.batcher.take(self.now, room, max_items=max_items, flush=flush)
        if batch is None:
            first = self._first_in_turn()
            assert first is None or not (due or flush) or first.alone_tokens > budget
            return
        assert due or flush
        assert (batch.reason == FlushReason.FLUSH) <= (flush and not due)
        self._check_limits(batch, cap, budget)
        self._check_order(batch)
        self._check_nothing_skipped(batch, cap, budget)

    @rule(data=st.data())
    @precondition(lambda self: self.places)
    def withdraw(self, data: st.DataObject) -> None:
        """An item that waits can be withdrawn, once."""
        item = data.draw(st.sampled_from(list(self.places)))
        assert self.batcher.withdraw(item)
        assert not self.batcher.withdraw(item)
        self._leave(item)

    @rule(restaurant=st.sampled_from(RESTAURANTS))
    def discard(self, restaurant: str) -> None:
        """All of a restaurant are no longer wanted."""
        expected = [item for item in self.places if item.restaurant == restaurant]
        assert self.batcher.discard(lambda item: item.restaurant == restaurant) == expected
        for item in expected:
            self._leave(item)

    @rule()
    def take_all_that_is_due(self) -> None:
        """With unlimited room nothing stays that has waited the long linger."""
        self._age()
        while batch := self.batcher.take(self.now):
            self._check_limits(batch, self.limits.max_items, self.limits.max_tokens)
            self._check_order(batch)
            self._age()
        assert all(item.enqueued_at + self.limits.linger_max > self.now for item in self.places)

    @invariant()
    def counts_agree(self) -> None:
        """None lost, none twice; nothing is remembered of what has left."""
        if not hasattr(self, "batcher"):
            return
        assert len(self.batcher) == len(self.places)
        assert self.batcher.tokens == weight(list(self.places))
        assert all(times == 1 for times in self.gone.values())
        assert len(self.gone) + len(self.places) == self.entries
        expected = {(place.rank, item.restaurant) for item, place in self.places.items()}
        kept = {(rank, name) for rank, turns in self.batcher._turns.items() for name in turns._queues}
        assert kept == expected

    def teardown(self) -> None:
        """A flush gives the rest, each exactly once."""
        if not hasattr(self, "batcher"):
            return
        while batch := self.batcher.take(self.now, flush=True):
            for item in batch.items:
                self._leave(item)
        assert not self.places
        self.counts_agree()

    def _refuses(self, item: Work) -> None:
        with pytest.raises(ValueError, match="does not fit a batch"):
            self.batcher.add(item, self.now)

    def _enter(self, item: Work, rank: Rank) -> None:
        self.places[item] = Place(rank, self.now, next(self.orders))
        self.entries += 1

    def _leave(self, item: Work) -> None:
        del self.places[item]
        self.gone[item.payload] += 1

    def _is_due(self, cap: int) -> bool:
        """The rule of the brief: full, or enough after the short linger, or the long one."""
        if not self.places:
            return False
        since = next(iter(self.places)).enqueued_at
        return (
            len(self.places) >= cap
            or weight(list(self.places)) >= smallest(self.limits.max_tokens, self.places)
            or (len(self.places) >= self.limits.min_items and since + self.limits.linger <= self.now)
            or since + self.limits.linger_max <= self.now
        )

    def _age(self) -> None:
        """Who has waited long enough in a class rises by one, behind all that are there."""
        rising = [p for p in self.places.values() if p.rank and p.entered <= self.now - self.limits.aging]
        for place in sorted(rising, key=lambda p: (p.rank, p.entered, p.order)):
            place.rank, place.entered = Rank(place.rank - 1), self.now
            place.order = next(self.orders)

    def _check_limits(self, batch: Batch[int], cap: int, budget: int) -> None:
        assert 1 <= len(batch.items) <= cap
        assert batch.tokens == weight(list(batch.items)) <= smallest(budget, batch.items)
        assert len(set(batch.items)) == len(batch.items)
        assert set(batch.items) <= set(self.places)

    def _check_order(self, batch: Batch[int]) -> None:
        """Class before class; within one, turns by restaurant; within a restaurant, as entered. Removes the batch."""
        where = {item: self.places[item] for item in batch.items}
        ranks = [place.rank for place in where.values()]
        for item in batch.items:
            self._leave(item)
        assert ranks == sorted(ranks)
        assert all(place.rank >= ranks[-1] for place in self.places.values())
        self._check_turns(where)

    def _check_turns(self, taken: dict[Work, Place]) -> None:
        orders: dict[tuple[Rank, str], list[int]] = defaultdict(list)
        for item, place in taken.items():
            orders[place.rank, item.restaurant].append(place.order)
        for item, place in self.places.items():
            mine = orders[place.rank, item.restaurant]
            assert all(order < place.order for order in mine)
            for (rank, _), theirs in orders.items():
                assert rank != place.rank or len(theirs) <= len(mine) + 1
        assert all(order == sorted(order) for order in orders.values())

    def _first_in_turn(self) -> Work | None:
        """The batcher's own: who it is, is checked whenever it is taken."""
        return next((turns.first() for turns in self.batcher._turns.values() if turns), None)

    def _check_nothing_skipped(self, batch: Batch[int], cap: int, budget: int) -> None:
        """A batch that was closed early was closed by the item whose turn it was."""
        first = self._first_in_turn()
        if first is None or len(batch.items) == cap:
            return
        assert batch.reason == FlushReason.FULL_TOKENS
        assert weight([*batch.items, first]) > smallest(budget, [*batch.items, first])


TestBatcherMachine = BatcherMachine.TestCase
TestBatcherMachine.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 60), st.sampled_from(sorted(PREFIXES))), min_size=1, max_size=10), st.data())
def test_a_batch_less_some_items_weighs_what_is_left(drawn: list[tuple[int, str]], data: st.DataObject) -> None:
    """Each distinct prefix once, in the old order; no batch where none is left."""
    batcher: Batcher[int] = Batcher(BatchLimits())
    for number, (own, prefix) in enumerate(drawn):
        batcher.add(Item(number, "a", Rank.NORMAL, own, prefix, PREFIXES[prefix]), 0.0)
    batch = batcher.take(0.0, flush=True)
    assert batch is not None
    gone = data.draw(st.sets(st.sampled_from(range(len(drawn)))))
    left = batch.without(lambda item: item.payload in gone)
    kept = [item for item in batch.items if item.payload not in gone]
    assert (list(left.items), left.tokens) == (kept, weight(kept)) if left else not kept


@settings(deadline=None)
@given(st.lists(st.none() | st.integers(1, 9), max_size=30), st.data())
def test_the_smallest_budget_of_those_that_wait(drawn: list[int | None], data: st.DataObject) -> None:
    """Whatever order they leave in; nothing is remembered of more budgets than there were."""
    budgets, left = Budgets(), Counter[int | None]()
    for budget in drawn:
        budgets.add(budget)
        left[budget] += 1
        if data.draw(st.booleans()):
            gone = data.draw(st.sampled_from(sorted(left.elements(), key=str)))
            budgets.remove(gone)
            left[gone] -= 1
        assert budgets.smallest(7) == min([7, *(b for b in left.elements() if b is not None)])
        assert len(budgets._heap) <= 9


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=6),
    st.lists(st.integers(1, 4), min_size=1, max_size=5),
)
def test_turns_go_on_from_batch_to_batch(item_counts: list[int], caps: list[int]) -> None:
    """However the takes cut them, items come in rounds: each restaurant's first, then each one's second, and so on."""
    batcher: Batcher[int] = Batcher(BatchLimits())
    for restaurant, count in enumerate(item_counts):
        for nth in range(count):
            batcher.add(Item(nth, str(restaurant), Rank.NORMAL, 10), 0.0)
    served: list[tuple[int, int]] = []
    while batch := batcher.take(0.0, max_items=caps[len(served) % len(caps)], flush=True):
        served += [(item.payload, int(item.restaurant)) for item in batch.items]
    assert served == sorted((nth, r) for r, count in enumerate(item_counts) for nth in range(count))


@given(rank=st.sampled_from(Rank), flood=st.integers(101, 10_000), crowd=st.integers(0, 98))
@settings(max_examples=15, deadline=None)
def test_a_flood_of_one_restaurant_delays_nobody(rank: Rank, flood: int, crowd: int) -> None:
    """After thousands of one restaurant, one item each of up to 99 others of the same class are in the next batch."""
    batcher: Batcher[str] = Batcher(BatchLimits())
    for _ in range(flood):
        batcher.add(Item("", "flood", rank, 10), 0.0)
    batcher.take(0.0)
    for name in range(crowd):
        batcher.add(Item("", f"crowd-{name}", rank, 10), 0.1)
    lone = Item("", "lone", rank, 10)
    batcher.add(lone, 0.1)
    batch = batcher.take(0.3)
    assert batch is not None
    assert lone in batch.items


@given(flood=st.integers(101, 3_000))
@settings(max_examples=10, deadline=None)
def test_an_aged_flood_keeps_its_turns(flood: int) -> None:
    """A flood that rises a class takes turns there too: it does not arrive before others of that class."""
    batcher: Batcher[str] = Batcher(BatchLimits(aging=1.0))
    for _ in range(flood):
        batcher.add(Item("", "flood", Rank.LOW, 10), 0.0)
    assert batcher.take(1.0, 0) is None  # no room: only time does its work
    lone = Item("", "lone", Rank.NORMAL, 10)
    batcher.add(lone, 1.0)
    batch = batcher.take(1.0)
    assert batch is not None
    assert lone in batch.items[:2]


@given(
    rank=st.sampled_from([Rank.NORMAL, Rank.LOW, Rank.JOB]),
    sources=st.integers(1, 40),
    tick=st.sampled_from([0.01, 0.05, 0.2]),
    aging=st.sampled_from([0.5, 2.0]),
)
@settings(max_examples=25, deadline=None)
def test_low_never_starves(rank: Rank, sources: int, tick: float, aging: float) -> None:
    """Under a load of `high` above capacity, an item is sent within its agings and one round of the turns."""
    batcher: Batcher[str] = Batcher(BatchLimits(max_items=10, aging=aging))
    waiting = Item("", "quiet", rank, 10)
    batcher.add(waiting, 0.0)
    ticks = 0
    while True:
        for number in range(11):  # one more than a batch takes
            batcher.add(Item("", f"busy-{(ticks * 11 + number) % sources}", Rank.HIGH, 10), ticks * tick)
        batch = batcher.take(ticks * tick)
        assert batch is not None
        if waiting in batch.items:
            break
        ticks += 1
        assert ticks <= rank * (aging / tick + 1) + (sources + 1) / 10 + 1
    assert ticks * tick >= rank * aging, "high goes before it until then"


@given(st.lists(st.tuples(st.sampled_from(Rank), st.integers(1, 400)), min_size=1, max_size=60), st.integers(0, 450))
def test_room_that_is_too_small_changes_nothing(drawn: list[tuple[Rank, int]], room: int) -> None:
    """Cut into smaller and smaller room, the same items leave in the same order as with all the room."""
    limits = BatchLimits(max_tokens=400, min_items=1, max_items=5)
    free, tight = Batcher[int](limits), Batcher[int](limits)
    for number, (rank, own) in enumerate(drawn):
        free.add(Item(number, str(number % 3), rank, own), 0.0)
        tight.add(Item(number, str(number % 3), rank, own), 0.0)
    assert _order(free, room=None) == _order(tight, room=room)


def _order(batcher: Batcher[int], room: int | None) -> list[int]:
    """Payloads as they leave; where `room` yields nothing, more is given, as when other batches end."""
    taken: list[int] = []
    while len(batcher):
        batch = batcher.take(1.0, room) or batcher.take(1.0)
        assert batch is not None
        taken += [item.payload for item in batch.items]
    return taken
