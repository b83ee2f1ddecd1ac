"""The batcher by example: when a batch is due, what closes it, and who goes first."""

import pytest

from consumer.stream.batcher import Batch, Batcher, BatchLimits, FlushReason
from consumer.stream.work import Item, Rank


def work(name: str = "", rank: Rank = Rank.NORMAL, own: int = 10, prefix: int = 0) -> Item[str]:
    """One item of the restaurant that is the name's first letter."""
    return Item(name, name[:1], rank, own, "p" if prefix else "", prefix)


def filled(limits: BatchLimits, *items: Item[str]) -> Batcher[str]:
    """A batcher in which these wait since second 0."""
    batcher: Batcher[str] = Batcher(limits)
    for item in items:
        batcher.add(item, 0.0)
    return batcher


def names(batch: Batch[str] | None) -> list[str]:
    """What a batch holds, in its order."""
    assert batch is not None
    return [item.payload for item in batch.items]


def test_an_empty_batcher_is_never_due() -> None:
    """Nothing waits: no batch, no time, not even by a flush."""
    batcher: Batcher[str] = Batcher(BatchLimits())
    assert batcher.next_due() is None
    assert not batcher.due(1e9)
    assert batcher.take(1e9, flush=True) is None


def test_a_lone_item_waits_the_long_linger() -> None:
    """Too few for a batch: it leaves when it has waited `linger_max`, to the moment."""
    batcher = filled(BatchLimits(linger=0.02, linger_max=0.2), work("a"))
    assert batcher.next_due() == 0.2
    assert batcher.take(0.199) is None
    batch = batcher.take(0.2)
    assert names(batch) == ["a"]
    assert batch is not None
    assert batch.reason == FlushReason.LINGER_MAX


def test_the_minimum_waits_the_short_linger() -> None:
    """With `min_items` the batch leaves when the oldest has waited `linger`."""
    batcher = filled(BatchLimits(min_items=2, linger=0.02), work("a"))
    batcher.add(work("b"), 0.01)
    assert batcher.next_due() == 0.02
    assert batcher.take(0.019) is None
    batch = batcher.take(0.02)
    assert names(batch) == ["a", "b"]
    assert batch is not None
    assert batch.reason == FlushReason.LINGER


def test_enough_items_go_at_once() -> None:
    """`max_items` fill a batch; the rest waits on."""
    batcher = filled(BatchLimits(max_items=10), *(work(f"a{n}") for n in range(11)))
    batch = batcher.take(0.0)
    assert names(batch) == [f"a{n}" for n in range(10)]
    assert batch is not None
    assert batch.reason == FlushReason.FULL_ITEMS
    assert len(batcher) == 1
    assert not batcher.due(0.0)


@pytest.mark.parametrize("owns", [[60, 40], [60, 41]])
def test_enough_tokens_go_at_once(owns: list[int]) -> None:
    """A budget that is met, or that the next item would exceed, makes a full batch."""
    batcher = filled(BatchLimits(max_tokens=100), *(work("a", own=own) for own in owns))
    batch = batcher.take(0.0)
    assert batch is not None
    assert batch.reason == FlushReason.FULL_TOKENS
    assert batch.tokens == (100 if sum(owns) == 100 else 60)


def test_what_still_fits_is_not_full() -> None:
    """One token below the budget is not a full batch."""
    assert not filled(BatchLimits(max_tokens=100), work("a", own=60), work("b", own=39)).due(0.0)


def test_a_shared_prefix_is_paid_once() -> None:
    """Two items of 30 with one prefix of 40 weigh 100; with a prefix each they would weigh 140."""
    batcher = filled(BatchLimits(max_tokens=100), work("a", own=30, prefix=40), work("b", own=30, prefix=40))
    assert batcher.tokens == 100
    batch = batcher.take(0.0)
    assert names(batch) == ["a", "b"]
    assert batch is not None
    assert batch.tokens == 100
    assert batcher.tokens == 0


def test_a_heavy_item_closes_the_batch_and_opens_the_next() -> None:
    """Lighter ones behind it do not overtake it."""
    batcher = filled(BatchLimits(max_tokens=100), work("a", own=50), work("b", own=60), work("c", own=10))
    assert names(batcher.take(0.0)) == ["a"]
    assert names(batcher.take(0.2)) == ["b", "c"]


def test_high_before_normal_before_low_before_jobs() -> None:
    """The classes, in the order of their urgency, whatever came first."""
    low_first = [work(rank.name, rank) for rank in reversed(Rank)]
    assert names(filled(BatchLimits(), *low_first).take(0.2)) == ["HIGH", "NORMAL", "LOW", "JOB"]


def test_restaurants_take_turns() -> None:
    """One item each, in the order the restaurants came; a restaurant's own items as they came."""
    batcher = filled(BatchLimits(), work("a1"), work("a2"), work("a3"), work("b1"), work("c1"), work("b2"))
    assert names(batcher.take(0.2)) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_a_restaurant_that_comes_back_joins_the_tail() -> None:
    """Having been served to the end gives no place before those who wait."""
    batcher = filled(BatchLimits(), work("a1"), work("b1"), work("c1"))
    assert names(batcher.take(0.2, max_items=1)) == ["a1"]
    batcher.add(work("a2"), 0.2)
    assert names(batcher.take(0.2)) == ["b1", "c1", "a2"]


def test_an_item_rises_one_class_at_a_time() -> None:
    """After `aging` seconds it stands behind its restaurant's items of the next class, and ages anew there."""
    batcher = filled(BatchLimits(aging=2.0), work("a-low", Rank.LOW))
    batcher.add(work("a-normal"), 1.9)
    batcher.add(work("b-normal"), 1.9)
    assert batcher.take(2.0, 0) is None
    batcher.add(work("b-high", Rank.HIGH), 3.95)
    assert names(batcher.take(3.95)) == ["b-high", "a-normal", "b-normal", "a-low"]
    batcher = filled(BatchLimits(aging=2.0), work("a-low", Rank.LOW))
    assert batcher.take(2.0, 0) is None
    assert batcher.take(3.99, 0) is None
    batcher.add(work("c-normal"), 3.99)
    assert batcher.take(4.0, 0) is None
    batcher.add(work("d-high", Rank.HIGH), 4.0)
    assert names(batcher.take(4.2)) == ["a-low", "d-high", "c-normal"]


def test_too_little_room_takes_nothing_and_skips_nobody() -> None:
    """The first in turn waits for its room, though the one behind it would fit."""
    batcher = filled(BatchLimits(), work("a", own=50), work("b", own=10))
    assert batcher.take(0.2, 49) is None
    assert len(batcher) == 2
    batch = batcher.take(0.2, 59)
    assert names(batch) == ["a"]
    assert batch is not None
    assert batch.reason == FlushReason.FULL_TOKENS
    assert names(batcher.take(0.2, 60)) == ["b"]


def test_a_lower_item_limit_holds_for_one_call() -> None:
    """It never raises the limit, and a call without it has the full one again."""
    batcher = filled(BatchLimits(max_items=10), *(work(f"a{n}") for n in range(15)))
    assert batcher.due(0.0, max_items=3)
    assert len(names(batcher.take(0.0, max_items=3))) == 3
    assert len(names(batcher.take(0.0, max_items=99))) == 10
    assert not batcher.due(0.0)
    assert batcher.next_due(max_items=2) == 0.0
    with pytest.raises(ValueError, match="at least one item"):
        batcher.take(0.0, max_items=0)


def test_a_flush_does_not_wait() -> None:
    """Before its time, and said so; what was due keeps its own reason."""
    early = filled(BatchLimits(), work("a")).take(0.0, flush=True)
    late = filled(BatchLimits(), work("a")).take(0.2, flush=True)
    assert early is not None
    assert late is not None
    assert (early.reason, late.reason) == (FlushReason.FLUSH, FlushReason.LINGER_MAX)


def test_a_withdrawn_item_leaves_no_trace() -> None:
    """It takes no turn, weighs nothing, and no longer makes a batch due."""
    first, second = work("a1", prefix=40), work("a2")
    batcher = filled(BatchLimits(), first, second, work("b"))
    assert batcher.withdraw(first)
    assert not batcher.withdraw(first)
    assert batcher.tokens == 20
    assert names(batcher.take(0.2)) == ["a2", "b"]
    assert not batcher.withdraw(second)


def test_an_item_may_come_again_once_it_has_left() -> None:
    """Twice at a time is refused; a retried item waits anew, from its new time."""
    item = work("a")
    batcher = filled(BatchLimits(), item)
    with pytest.raises(ValueError, match="twice"):
        batcher.add(item, 0.0)
    assert names(batcher.take(0.2)) == ["a"]
    batcher.add(item, 0.3)
    assert batcher.next_due() == pytest.approx(0.5)


@pytest.mark.parametrize(("own", "prefix"), [(0, 0), (-1, 0), (5, -1), (101, 0), (61, 40)])
def test_an_item_that_could_never_be_sent_is_refused(own: int, prefix: int) -> None:
    """No tokens at all, or more with its prefix than a batch may hold; a batch's worth is let in."""
    batcher = filled(BatchLimits(max_tokens=100), work("a", own=60, prefix=40))
    with pytest.raises(ValueError, match="does not fit a batch of 100"):
        batcher.add(work("b", own=own, prefix=prefix), 0.0)
    assert len(batcher) == 1


@pytest.mark.parametrize(
    "limits",
    [
        {"max_tokens": 0},
        {"min_items": 0},
        {"min_items": 11, "max_items": 10},
        {"linger": -0.1},
        {"linger": 0.3, "linger_max": 0.2},
        {"aging": 0},
    ],
)
def test_limits_that_contradict_are_refused(limits: dict[str, int]) -> None:
    """Each bound of each limit is checked."""
    with pytest.raises(ValueError, match="limits need"):
        BatchLimits(**limits)
