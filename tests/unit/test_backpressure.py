"""Pausing by example: each mark from both sides."""

import pytest

from consumer.stream.backpressure import LaneFill, PauseDecision, WaterMarks, decide

MARKS = WaterMarks.halving(max_records=2000, max_bytes=1000, max_tokens=400, poll_records=500)
NOTHING: PauseDecision[str] = PauseDecision(frozenset(), frozenset())


def test_the_low_marks_are_half_of_where_pausing_begins() -> None:
    """2000 records with polls of 500 pause above 1500 and resume at 750."""
    assert (MARKS.high_records, MARKS.low_records) == (2000, 750)
    assert (MARKS.low_bytes, MARKS.low_tokens) == (500, 200)


@pytest.mark.parametrize(
    ("lane", "tokens", "paused"),
    [
        (LaneFill(1500, 999), 399, False),
        (LaneFill(1501, 0), 0, True),
        (LaneFill(0, 1000), 0, True),
        (LaneFill(0, 0), 400, True),
    ],
)
def test_each_high_mark_pauses(lane: LaneFill, tokens: int, paused: bool) -> None:  # noqa: FBT001 - a table
    """One signal is enough."""
    assert decide(MARKS, {"p": lane}, set(), tokens).pause == (frozenset("p") if paused else frozenset())


@pytest.mark.parametrize(
    ("lane", "tokens", "resumed"),
    [
        (LaneFill(750, 500), 200, True),
        (LaneFill(751, 0), 0, False),
        (LaneFill(0, 501), 0, False),
        (LaneFill(0, 0), 201, False),
    ],
)
def test_every_low_mark_is_needed_to_resume(lane: LaneFill, tokens: int, resumed: bool) -> None:  # noqa: FBT001
    """One signal that has not drained keeps the partition paused."""
    assert decide(MARKS, {"p": lane}, {"p"}, tokens).resume == (frozenset("p") if resumed else frozenset())


def test_tokens_pause_every_partition() -> None:
    """They are one signal for all lanes; what is paused already is left alone."""
    lanes = {"p": LaneFill(0, 0), "q": LaneFill(1, 1), "r": LaneFill(0, 0)}
    assert decide(MARKS, lanes, {"r"}, 400) == PauseDecision(frozenset("pq"), frozenset())


def test_a_partition_without_an_open_lane_is_left_alone() -> None:
    """It went to another member, or is being restored: resuming it is not ours to decide."""
    assert decide(MARKS, {}, {"gone"}, 0) == NOTHING


@pytest.mark.parametrize(
    "wrong",
    [
        {"poll_records": 0},
        {"poll_records": 2001},
        {"low_records": 1501},
        {"low_records": -1},
        {"low_bytes": 1000},
        {"low_bytes": -1},
        {"low_tokens": 400},
        {"low_tokens": -1},
    ],
)
def test_marks_that_could_never_be_reached_are_refused(wrong: dict[str, int]) -> None:
    """A lane must be able to read, and to resume; a poll must fit a lane."""
    fine = {
        "high_records": 2000, "low_records": 0, "high_bytes": 1000, "low_bytes": 0, "high_tokens": 400,
        "low_tokens": 0, "poll_records": 500,
    }  # fmt: skip
    WaterMarks(**fine)
    with pytest.raises(ValueError, match=r"need 0 <= low_records|below its high mark"):
        WaterMarks(**{**fine, **wrong})
