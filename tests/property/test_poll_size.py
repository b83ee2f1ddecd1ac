"""A poll brings what can be taken in within its time, and never more than is allowed."""

from hypothesis import given
from hypothesis import strategies as st

from consumer.stream.poll_size import FEWEST, OFFER_SECONDS, PollSize

COSTS = st.floats(1e-7, 1.0)


@given(st.integers(1, 1000), st.lists(st.tuples(st.integers(0, 1000), COSTS)))
def test_whatever_was_seen_it_stays_within_its_bounds(most: int, seen: list[tuple[int, float]]) -> None:
    """A slow record never stops the polls."""
    size = PollSize(most)
    for records, seconds in seen:
        size.took(records, seconds)
        assert min(most, FEWEST) <= size.records <= most


@given(COSTS, COSTS)
def test_it_comes_to_what_fits(before: float, each: float) -> None:
    """After a change, what fits is asked for: at once where records are slower, within some polls where faster."""
    size = PollSize(100_000)
    size.took(1, before)
    for _ in range(40):
        size.took(10, 10 * each)
    fits = OFFER_SECONDS / each
    assert fits / 1.01 - 1 <= size.records <= max(FEWEST, fits * 1.01)


@given(COSTS)
def test_a_slow_poll_counts_at_once(each: float) -> None:
    """The next poll is as small as it must be."""
    size = PollSize(100_000)
    for _ in range(40):
        size.took(100, 100e-7)
    size.took(10, 10 * each)
    assert size.records <= max(FEWEST, OFFER_SECONDS / each + 1)
