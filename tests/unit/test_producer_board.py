"""The board folds the result topics, the tally adds up, the tables can be read."""

import json
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from producer.board import Board
from producer.tables import cut, live, report
from producer.tally import QUIET_SECONDS, Tally, unfinished
from schemas.codec import group_key
from schemas.topics import TopicNames

TOPICS = TopicNames.model_construct()
PROVENANCE = {"engine": "local", "model": "m/1", "prompt": "p/1"}


def totals(restaurant: str | int, positive: int, negative: int) -> dict[str, Any]:
    """Make the value of a totals record."""
    count = positive + negative
    return {
        "restaurant_id": restaurant,
        "positive_count": positive,
        "negative_count": negative,
        "neutral_count": 0,
        "total_count": count,
        "positive_ratio": round(100 * positive / count) if count else 0,
        "negative_ratio": round(100 * negative / count) if count else 0,
        "neutral_ratio": 0,
        "updated_at": "2026-10-02T10:42:10Z",
    }


def summary(restaurant: str | int, text: str, version: int = 1) -> dict[str, Any]:
    """Make the value of a summary record."""
    return {
        "restaurant_id": restaurant,
        "overall_summary": text,
        "positive_aspects": [],
        "negative_aspects": [],
        "positive_count": 1,
        "negative_count": 0,
        "review_count": 1,
        "version": version,
        "comparison_group": "mapo/bbq",
        "language": "ko",
        "provenance": PROVENANCE,
    }


def strengths(
    restaurant: str | int, version: int = 1, group: str = "mapo/bbq", lift: float | None = 2.0
) -> dict[str, Any]:
    """Make the value of a strengths record."""
    return {
        "restaurant_id": restaurant,
        "strengths": [
            {
                "aspect": "food",
                "claim": "고기가 두툼하다",
                "support_count": 14,
                "support_ratio": 0.5,
                "comparison_ratio": 0.25 if lift else 0.0,
                "lift": lift,
                "evidence": [{"review_id": 1, "quote": "고기가 [진짜] 두툼해요"}],
            }
        ],
        "strength_summary": "",
        "comparison_summary": "",
        "compared_with": 3,
        "comparison_group": group,
        "version": version,
        "provenance": PROVENANCE,
    }


def sentiment(restaurant: str | int, outcome: str = "analyzed") -> dict[str, Any]:
    """Make the value of a sentiment record."""
    return {"review_id": 1, "restaurant_id": restaurant, "outcome": outcome, "provenance": PROVENANCE}


def put(board: Board, topic: str, key: bytes, value: dict[str, Any] | None) -> bool:
    """Let the board take a record."""
    return board.take(topic, key, None if value is None else json.dumps(value).encode())


@pytest.fixture
def board() -> Board:
    """An empty board."""
    return Board(TOPICS)


def shown(table: Table, width: int = 160) -> str:
    """Print a table as a pipe gets it."""
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_the_last_word_on_each_restaurant_counts(board: Board) -> None:
    """Numbers and texts name the same restaurant; results are counted by outcome."""
    put(board, TOPICS.sentiment, b"7", sentiment(7))
    put(board, TOPICS.sentiment, b"7", sentiment("7", "duplicate"))
    put(board, TOPICS.totals, b"7", totals(7, 1, 0))
    put(board, TOPICS.totals, b"7", totals("7", 2, 1))
    put(board, TOPICS.summary, b"7", summary(7, "old"))
    put(board, TOPICS.summary, b"7", summary(7, "new", version=2))
    (row,) = board.rows.values()
    assert (row.restaurant, row.results) == ("7", 2)
    assert row.totals is not None
    assert row.totals.total_count == 3
    assert row.summary is not None
    assert row.summary.overall_summary == "new"
    assert board.outcomes == {"analyzed": 1, "duplicate": 1}


def test_tombstones_take_back(board: Board) -> None:
    """A restaurant with no reviews left has no totals, no summary, no strengths."""
    put(board, TOPICS.totals, b"a", totals("a", 1, 0))
    put(board, TOPICS.summary, b"a", summary("a", "text"))
    put(board, TOPICS.strength, group_key("mapo/bbq", "a"), strengths("a"))
    for topic, key in ((TOPICS.totals, b"a"), (TOPICS.summary, b"a"), (TOPICS.strength, group_key("mapo/bbq", "a"))):
        assert put(board, topic, key, None)
    row = board.rows["a"]
    assert (row.totals, row.summary, row.strengths) == (None, None, None)


def test_a_restaurant_that_moved_shows_its_newer_group(board: Board) -> None:
    """Whatever order the two groups' records come in; the old group's tombstone takes nothing back."""
    put(board, TOPICS.strength, group_key("new", "a"), strengths("a", version=5, group="new"))
    put(board, TOPICS.strength, group_key("old", "a"), strengths("a", version=4, group="old"))
    put(board, TOPICS.strength, group_key("old", "a"), None)
    found = board.rows["a"].strengths
    assert found is not None
    assert found.comparison_group == "new"


def test_records_that_cannot_be_read_are_counted_and_others_left_alone(board: Board) -> None:
    """A stranger's record in a result topic does not stop the watching."""
    assert not board.take(TOPICS.totals, b"a", b"nope")
    assert not board.take(TOPICS.summary, b"\xff", None)
    assert not board.take(TOPICS.strength, b"a", None)
    assert not board.take(TOPICS.sentiment, b"a", None)
    assert not board.take("another.topic", b"a", b"{}")
    assert board.unreadable == 4
    assert board.rows == {}


def test_the_live_table_has_a_row_a_restaurant(board: Board) -> None:
    """Counts, percents, the summary, the strongest strength; markup in a text is text."""
    put(board, TOPICS.totals, b"a", totals("a", 3, 1))
    put(board, TOPICS.summary, b"a", summary("a", "고기가 [bold]좋다[/bold]는 평"))
    put(board, TOPICS.strength, group_key("mapo/bbq", "a"), strengths("a"))
    put(board, TOPICS.sentiment, b"b", sentiment("b"))
    text = shown(live(board))
    assert "75%" in text
    assert "25%" in text
    assert "[bold]좋다[/bold]" in text
    assert "food ×2.0" in text
    assert "2 restaurants, 1 results (1 analyzed)" in text


def test_the_report_shows_totals_summary_lift_and_quote(board: Board) -> None:
    """What the demo is for: names, numbers, and a verbatim quote."""
    put(board, TOPICS.totals, b"a", totals("a", 3, 1))
    put(board, TOPICS.summary, b"a", summary("a", "고기가 좋다는 평"))
    put(board, TOPICS.strength, group_key("mapo/bbq", "a"), strengths("a"))
    put(board, TOPICS.strength, group_key("mapo/bbq", "b"), strengths("b", lift=None))
    text = shown(report(board, {"a": "연기나는집"}))
    for part in (
        "연기나는집",
        "mapo/bbq",
        "4 reviews",
        "+ 3 (75%)",
        "− 1 (25%)",
        "고기가 좋다는 평",
        "food ×2.0, 14 reviews",
    ):
        assert part in text
    assert "“고기가 [진짜] 두툼해요”" in text
    assert "food only here" in text
    assert "none yet" in text


def test_a_long_text_is_cut_with_an_ellipsis() -> None:
    """At the length asked for, not beyond."""
    assert cut("가나다", 3) == "가나다"
    assert cut("가나다라", 3) == "가나…"


def test_the_tally_adds_up_when_each_record_was_answered_or_dead_lettered() -> None:
    """A repeated result counts once: at least once means that there may be two."""
    tally = Tally(sent=3)
    for ce_id in ("t/0/0/sentiment", "t/0/1/sentiment", "t/0/1/sentiment"):
        tally.answer(ce_id)
    tally.dead_letter("t/1/0")
    assert tally.accounted == 3
    assert tally.complaints(read=3) == []


def test_the_tally_complains_of_lost_doubled_and_unread_records() -> None:
    """Each in its own words."""
    tally = Tally(sent=4)
    tally.answer("t/0/0/sentiment")
    tally.answer("t/0/1/sentiment")
    tally.dead_letter("t/0/1")
    read, lost, both = tally.complaints(read=2)
    assert read == "4 records were sent, but 2 are committed as read"
    assert lost == "2 records have neither a result nor a dead letter"
    assert both == "1 records have both a result and a dead letter: t/0/1"


def test_results_have_settled_after_all_is_answered_and_a_quiet_while(board: Board) -> None:
    """Every restaurant with reviews has its summary and strengths, and no new ones come."""
    tally = Tally(sent=1, last_job=100.0)
    put(board, TOPICS.totals, b"a", totals("a", 1, 0))
    put(board, TOPICS.totals, b"gone", totals("gone", 0, 0))
    late = 100.0 + QUIET_SECONDS
    assert not tally.settled(board, late)
    tally.answer("t/0/0/sentiment")
    assert unfinished(board) == ["a"]
    assert not tally.settled(board, late)
    put(board, TOPICS.summary, b"a", summary("a", "text"))
    put(board, TOPICS.strength, group_key("mapo/bbq", "a"), strengths("a"))
    assert not tally.settled(board, late - 0.01)
    assert tally.settled(board, late)
