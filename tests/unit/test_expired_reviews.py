"""A review whose deadline passed while it waited: a result that says so, and nothing else."""

from datetime import UTC, datetime

import pytest

from schemas.codec import decode
from schemas.results import SentimentResult
from tests.unit.lane_world import NAMES, ReviewsLane


def moment(seconds: float) -> str:
    """RFC 3339."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def outcomes(lane: ReviewsLane) -> list[tuple[str, str | None]]:
    """Outcome and label of each result so far."""
    found = [decode(SentimentResult, output.value) for output in lane.published[NAMES.sentiment]]
    return [(one.outcome, one.sentiment) for one in found]


def test_it_counts_nowhere() -> None:
    """No label, no totals, no state; one that is in time is like any other."""
    lane = ReviewsLane()
    lane.send(1, 1, "good late", deadline=moment(lane.now - 1))
    lane.commit()
    assert outcomes(lane) == [("expired", None)]
    assert lane.published[NAMES.totals] == []
    assert lane.store.reviews([("1", "1")]).get(("1", "1")) is None
    lane.send(1, 2, "good in time", deadline=moment(lane.now + 1))
    lane.commit()
    assert outcomes(lane)[1:] == [("analyzed", "positive")]
    assert len(lane.published[NAMES.totals]) == 1


def test_an_edit_that_comes_too_late_leaves_what_stands() -> None:
    """And a deletion needs no engine, so it is never late."""
    lane = ReviewsLane()
    lane.send(1, 1, "good")
    lane.send(1, 1, "bad", deadline=moment(lane.now - 1))
    lane.commit()
    assert outcomes(lane) == [("analyzed", "positive"), ("expired", None)]
    assert (standing := lane.store.reviews([("1", "1")]).get(("1", "1")))
    assert standing.label == "positive"
    lane.send(1, 1, None, deadline=moment(lane.now - 1))
    lane.commit()
    assert outcomes(lane)[2:] == [("deleted", None)]


@pytest.mark.parametrize("late", [True, False])
def test_answered_again_it_says_the_same(*, late: bool) -> None:
    """At least once: the record comes again when it is in the state already, and left no trace there."""
    lane = ReviewsLane()
    lane.send(1, 1, "good", deadline=moment(lane.now + (-1 if late else 1)))
    record = lane._uncommitted[0]
    lane.commit()
    lane.workload.receive_again(record)
    lane.commit()
    assert len(set(outcomes(lane))) == 1
