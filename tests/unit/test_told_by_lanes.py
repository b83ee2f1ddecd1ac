"""What the lanes tell of a commit: counted together, by topic and outcome, with the dead letters' records."""

from consumer.hooks.events import Event, What
from tests.unit.lane_world import NAMES, ReviewsLane
from tests.unit.test_requests_lane import RequestsLane
from tests.unit.test_strength_jobs import GroupsLane


def _told(events: list[Event], what: What) -> dict[tuple[str, str, str], int]:
    found = ((event.topic, event.kind, event.reason, event.count) for event in events if event.what is what)
    return {(topic, kind, reason): count for topic, kind, reason, count in found}


def test_a_commit_of_reviews_tells_its_outcomes_together() -> None:
    """And how often labels agree with what their authors said, of new labels alone."""
    lane = ReviewsLane()
    lane.send(1, 1, "good", rating=5)
    lane.send(1, 2, "good", is_recommended=False, rating=1)
    lane.send(1, 2, "good", is_recommended=False, rating=1)  # again
    lane.send(1, 3, None)
    lane.send(1, 4, "bad")
    lane.commit()
    topic = NAMES.reviews
    assert _told(lane.told, What.RESULT) == {
        (topic, "sentiment", "analyzed"): 3,
        (topic, "sentiment", "duplicate"): 1,
        (topic, "sentiment", "deleted"): 1,
    }
    assert _told(lane.told, What.COMPARED) == {
        (topic, "rating", "agree"): 1,
        (topic, "rating", "disagree"): 1,
        (topic, "is_recommended", "disagree"): 1,
    }


def test_a_dead_letter_is_told_with_its_record() -> None:
    """A trace and a log line need it."""
    lane = RequestsLane()
    lane.send_bytes(b"{")
    lane.commit()
    (event,) = (event for event in lane.told if event.what is What.DEAD_LETTER)
    assert (event.topic, event.reason, len(event.records)) == (NAMES.requests, "not_json", 1)


def test_the_members_that_a_commit_takes_are_records_too() -> None:
    """What comes in of a topic and what is done of it add up."""
    lane = GroupsLane()
    lane.put("a", 1)
    lane.put("b", 1)
    lane.commit()
    assert _told(lane.told, What.RESULT)[NAMES.by_group, "", "taken"] == 2
