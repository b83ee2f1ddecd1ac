"""Invariants 1 and 4: the committed offset never passes an unfinished record nor goes back; the window is bounded."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from consumer.stream.lane import Lane, Offer

MAX_RECORDS, MAX_BYTES = 8, 100


class LaneMachine(RuleBasedStateMachine):
    """Random deliveries (with gaps and repeats), answers in any order, and commits, against a plain dictionary."""

    def __init__(self) -> None:
        """Begin at an offset that is not 0."""
        super().__init__()
        self.lane: Lane[int] = Lane(5, MAX_RECORDS, MAX_BYTES)
        self.sizes: dict[int, int] = {}
        self.done: set[int] = set()
        self.next = 5
        self.committed = 5
        self.left: list[int] = []

    @rule(gap=st.integers(0, 3), size=st.integers(0, 150))
    def deliver(self, gap: int, size: int) -> None:
        """A new record, after a gap as transaction markers and compaction leave them."""
        offset = self.next + gap
        fits = not self.sizes or (len(self.sizes) < MAX_RECORDS and sum(self.sizes.values()) + size <= MAX_BYTES)
        assert self.lane.has_room(size) is fits
        assert self.lane.offer(offset, size) is (Offer.ACCEPTED if fits else Offer.FULL)
        if fits:
            self.sizes[offset], self.next = size, offset + 1

    @rule(back=st.integers(1, 20))
    def deliver_again(self, back: int) -> None:
        """A record below the next offset changes nothing."""
        assert self.lane.offer(self.next - back, 1) is Offer.STALE

    @precondition(lambda self: self.sizes.keys() - self.done)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        """Answers come in any order, each counts once."""
        offset = data.draw(st.sampled_from(sorted(self.sizes.keys() - self.done)))
        assert self.lane.finish(offset, offset)
        assert not self.lane.finish(offset, -1)
        self.done.add(offset)

    @rule(offset=st.integers(0, 200))
    def finish_unknown(self, offset: int) -> None:
        """An answer for a record that is not waiting is ignored."""
        if offset not in self.sizes or offset in self.done:
            assert not self.lane.finish(offset, -1)

    @rule(limit=st.integers(1, 5))
    def commit(self, limit: int) -> None:
        """The prefix is the unbroken run of done records; committing it drops exactly those."""
        prefix = self.lane.done_prefix(limit)
        expected: list[int] = []
        for offset in sorted(self.sizes):
            if offset not in self.done or len(expected) == limit:
                break
            expected.append(offset)
        assert list(prefix.done) == expected
        self.lane.retire(prefix.next_offset)
        for offset in expected:
            del self.sizes[offset]
        self.left.extend(expected)
        self.committed = prefix.next_offset

    @invariant()
    def holds(self) -> None:
        """What must always hold."""
        unfinished = sorted(self.sizes.keys() - self.done)
        assert self.lane.committed == self.committed
        assert not unfinished or self.lane.committed <= unfinished[0]
        assert len(self.lane) == len(self.sizes) <= MAX_RECORDS
        assert self.lane.size == sum(self.sizes.values())
        assert self.lane.unfinished == len(unfinished)
        assert self.left == sorted(self.left)
        assert self.lane.has_done() == (bool(self.sizes) and min(self.sizes) in self.done)


TestLaneMachine = LaneMachine.TestCase
TestLaneMachine.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)


@given(st.integers(0, 5))
def test_invariant_1_an_unfinished_record_cannot_be_committed(hole: int) -> None:
    """Retiring past an unfinished record is refused, wherever it is."""
    lane: Lane[int] = Lane(0, 10, 1000)
    for offset in range(6):
        lane.offer(offset, 1)
        if offset != hole:
            lane.finish(offset, offset)
    with pytest.raises(ValueError, match="not done"):
        lane.retire(6)


def test_invariant_1_the_committed_offset_never_goes_back() -> None:
    """Retiring below the committed offset is refused."""
    lane: Lane[int] = Lane(7, 10, 1000)
    with pytest.raises(ValueError, match="below the committed"):
        lane.retire(6)


def test_a_record_larger_than_the_limit_is_taken_alone() -> None:
    """It must not block its partition for ever."""
    lane: Lane[int] = Lane(0, 10, 100)
    assert lane.offer(0, 10_000) is Offer.ACCEPTED
    assert lane.offer(1, 1) is Offer.FULL


def test_what_leaves_the_lane_says_when_it_came_and_was_done() -> None:
    """So do the oldest record and the oldest that is not done."""
    lane: Lane[str] = Lane(5, 10, 1000)
    for offset in (5, 6, 8):
        lane.offer(offset, 1, timestamp=offset * 1000, now=offset / 10)
    lane.finish(6, "b", now=2.0)
    assert lane.oldest is not None
    assert lane.oldest_unfinished is not None
    assert (lane.oldest.offset, lane.oldest_unfinished.offset) == (5, 5)
    lane.finish(5, "a", now=3.0)
    assert lane.oldest_unfinished is not None
    assert (lane.oldest_unfinished.offset, lane.oldest_unfinished.taken_at) == (8, 0.8)
    assert [(slot.timestamp, slot.done_at) for slot in lane.retire(7)] == [(5000, 3.0), (6000, 2.0)]
    lane.finish(8, "c")
    lane.retire(9)
    assert lane.oldest is lane.oldest_unfinished is None
