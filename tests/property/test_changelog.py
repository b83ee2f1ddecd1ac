"""State survives its changelog, whatever the ids; and where a lane begins is decided without guessing."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.errors import ConfigError, LaneRefused
from consumer.stream.changelog import LANE_KEY, collect, entries, mark_entry
from consumer.stream.place import FORMAT, RESETTING, LaneMark, Place, Standing, Start, has_committed, where_to_start
from consumer.stream.state import Changes, RestaurantState, ReviewState, StrengthState, SummaryState, bounded
from schemas.base import Sentiment
from schemas.findings import Aspect, Evidence

ids = st.text(min_size=1, max_size=12).filter(lambda text: text.isprintable()) | st.sampled_from(
    ["|", "\\", "a|b\\", "\\|"]
)
labels = st.none() | st.sampled_from(list(Sentiment))
reviews = st.builds(
    ReviewState,
    ids | st.integers(),
    st.none() | st.integers(0, 9),
    st.integers(0, 2**41),
    st.none() | st.binary(min_size=16, max_size=16),
    labels,
    st.none() | st.floats(0, 1),
    st.none() | st.text(max_size=20).filter(lambda text: text.isprintable()),
    st.just(()) | st.just((("positive", "food"), ("negative", "waiting"))),
    st.integers(-1, 10**6),
)
aspects = st.builds(
    Aspect,
    aspect=st.just("food"),
    claim=ids,
    support_count=st.integers(0, 9),
    evidence=st.just((Evidence(review_id=1, quote="맛"),)),
)
summaries = st.builds(
    SummaryState, ids, st.tuples(aspects), st.just(()), st.just("ko"), st.integers(1, 9), st.none() | ids
)
restaurants = st.builds(
    RestaurantState, ids | st.integers(), *[st.integers(0, 9)] * 3, st.none() | ids, summary=st.none() | summaries
)

strengths = st.builds(StrengthState, st.integers(0, 9), st.integers(0, 9), ids, st.integers(0, 9), ids)


@given(
    st.dictionaries(ids, st.none() | restaurants),
    st.dictionaries(st.tuples(ids, ids), st.none() | reviews),
    st.dictionaries(st.tuples(st.just("") | ids, ids), st.none() | strengths),
)
def test_state_comes_back_as_it_was_written(
    owners: dict[str, RestaurantState | None],
    written: dict[tuple[str, str], ReviewState | None],
    members: dict[tuple[str, str], StrengthState | None],
) -> None:
    """Also with the separator in an id, and with keys that are gone."""
    changes = Changes(owners, written, members)
    mark = LaneMark(7, 3, 4)
    found, last = collect([*entries(changes), mark_entry(mark)])
    assert found == changes
    assert last == mark


@given(st.lists(st.tuples(ids, ids), min_size=1, unique=True))
def test_different_reviews_have_different_keys(pairs: list[tuple[str, str]]) -> None:
    """No id can pass for another's."""
    state = ReviewState(1, None, 0, None)
    keys = [key for key, _ in entries(Changes(reviews=dict.fromkeys(pairs, state)))]
    assert len(set(keys)) == len(pairs)


@pytest.mark.parametrize(
    "record", [(b"X|a", b"{}"), (b"R|a", b"{"), (b"G|a", b"{}"), (b"V|a", b"{}"), (LANE_KEY, b"7"), (b"\xff", b"")]
)
def test_what_cannot_be_read_refuses_the_lane(record: tuple[bytes, bytes]) -> None:
    """Nothing is guessed about state."""
    with pytest.raises(LaneRefused, match="cannot be read"):
        collect([record])


def test_a_newer_format_is_refused() -> None:
    """A newer member has worked on the lane."""
    with pytest.raises(LaneRefused, match="upgrade this one"):
        collect([mark_entry(LaneMark(1, 1, 4, FORMAT + 1))])


def test_largest_state_is_below_64_kib() -> None:
    """A restaurant's with every aspect full and quoted in the widest script, a review's of control characters."""
    quotes = tuple(Evidence(review_id="가" * 256, quote="가" * 200) for _ in range(3))
    full = tuple(Aspect(aspect=f"aspect{n}", claim="가" * 80, support_count=9, evidence=quotes) for n in range(9))
    summary = bounded(SummaryState("가" * 300, full, full, "ko", 1, "가" * 512))
    assert {len(aspect.evidence) for aspect in summary.positive + summary.negative} == {2}
    restaurant = RestaurantState("가" * 256, 10**6, 10**6, 10**6, "가" * 512, 10**6, 1.0, summary, 10**6)
    review = ReviewState("가" * 256, 1, 1, b"1" * 16, Sentiment.POSITIVE, 0.123456789, "\x01" * 4000)
    found = entries(Changes({"a": restaurant}, {("a", "b"): review}))
    assert max(len(key) + len(value or b"") for key, value in found) < 64 * 1024


def _standing(committed: int | None, mark: LaneMark | None, beginning: int = 0) -> Standing:
    return Standing("t", 0, 4, beginning, committed, mark)


def test_a_new_lane_begins_at_the_beginning() -> None:
    """Nothing is committed, and there is no state."""
    assert where_to_start(_standing(None, None, 5), None) == Start(5, 5)


@given(st.integers(0, 100), st.integers(0, 100))
def test_in_exactly_once_state_and_offset_must_agree(committed: int, offset: int) -> None:
    """They were written in one transaction."""
    standing = _standing(committed, LaneMark(offset, 1, 4))
    if committed == offset:
        assert where_to_start(standing, None) == Start(offset, offset)
    else:
        with pytest.raises(LaneRefused, match="--from"):
            where_to_start(standing, None)


@given(st.integers(0, 100), st.integers(0, 100))
def test_in_at_least_once_state_may_be_ahead(committed: int, offset: int) -> None:
    """It is written first: what lies between is answered from it."""
    standing = _standing(committed, LaneMark(offset, 1, 4, delivery="at_least_once"))
    if committed <= offset:
        assert where_to_start(standing, None) == Start(committed, offset)
    else:
        with pytest.raises(LaneRefused, match="--from"):
            where_to_start(standing, None)


def test_in_at_least_once_a_lane_that_ended_inside_its_first_commit_goes_on() -> None:
    """Its state was written, its offset was not: records below the mark are answered from the state."""
    first = LaneMark(9, 1, 4, delivery="at_least_once")
    assert where_to_start(_standing(None, first, 2), None) == Start(2, 9)
    with pytest.raises(LaneRefused, match="--from"):
        where_to_start(_standing(None, replace(first, sequence=2)), None)


@pytest.mark.parametrize(("committed", "mark"), [(None, LaneMark(9, 1, 4)), (9, None)])
def test_one_without_the_other_waits_for_a_decision(committed: int | None, mark: LaneMark | None) -> None:
    """State without an offset, and an offset without state."""
    with pytest.raises(LaneRefused, match="--from state"):
        where_to_start(_standing(committed, mark), None)


@pytest.mark.parametrize(
    ("origin", "start"), [("state", Start(9, 9)), ("committed", Start(4, 4)), ("beginning", Start(2, 0))]
)
def test_a_person_decides(origin: str, start: Start) -> None:
    """Never below what the topic still holds."""
    assert where_to_start(_standing(4, LaneMark(9, 1, 4), beginning=2), origin) == start  # type: ignore[arg-type]


@pytest.mark.parametrize("origin", [None, "state", "committed", "beginning"])
def test_a_reset_that_was_cut_short_waits_for_its_end(origin: str | None) -> None:
    """What is left of the state is no state to go on with, whatever a person decides."""
    with pytest.raises(LaneRefused, match="run it again"):
        where_to_start(_standing(4, LaneMark(RESETTING, 9, 4)), origin)  # type: ignore[arg-type]


def test_a_decision_changes_nothing_where_both_agree() -> None:
    """So that it can be given for a whole group."""
    assert where_to_start(_standing(9, LaneMark(9, 1, 4)), "beginning") == Start(9, 9)


def test_records_that_the_topic_has_dropped_are_passed() -> None:
    """Retention was quicker."""
    assert where_to_start(_standing(4, LaneMark(4, 1, 4), beginning=6), None) == Start(6, 4)


def test_another_partition_count_stops_the_consumer() -> None:
    """Restaurants lie on other partitions then; the message says what to do."""
    with pytest.raises(ConfigError, match="rekey"):
        where_to_start(_standing(4, LaneMark(4, 1, 3)), "state")


def test_an_unknown_outcome_is_decided_by_the_mark() -> None:
    """The staged sequence: committed. The one before, or nothing new: not. Anything else: somebody else's."""
    assert has_committed(LaneMark(1, 8, 4), 8) is True
    assert has_committed(LaneMark(1, 7, 4), 8) is False
    assert has_committed(None, 8) is False
    assert has_committed(LaneMark(1, 9, 4), 8) is None
    assert has_committed(LaneMark(1, 6, 4), 8) is None


def test_a_place_counts_commits() -> None:
    """None so far, or the mark's."""
    assert Place().sequence == 0
    assert Place(LaneMark(1, 5, 4)).sequence == 5
