"""What the commands print of dead letters."""

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console
from rich.table import Table

from consumer.cli.dlq_documents import letter_document, letter_table, moment, tally_document, tally_table
from consumer.errors import ConfigError
from consumer.stream.letters import Letter, Tally
from consumer.stream.record import Partition

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
LETTER = Letter(
    place=(0, 17),
    reason="wrong_key",
    error="the record's key is not its restaurant_id as text",
    attempts=2,
    source=Partition("restaurant.reviews", 3),
    source_offset=99,
    failed_at=NOW,
    service="review-consumer",
    key=b"\xff",
    value='{"content": "맛있어요 [bold]\\u202e\\u001b[31m"}'.encode(),
    headers=(("a", b"\x00\xff"), ("\udcff", None)),  # type: ignore[arg-type] # Kafka allows null
    timestamp=1,
)


def printed(table: Table) -> str:
    """As a terminal shows it."""
    out = io.StringIO()
    Console(file=out, width=200, force_terminal=False).print(table)
    return out.getvalue()


def test_a_letter_for_people_shows_all_of_it_and_obeys_none_of_it() -> None:
    """Markup, colours and direction marks of a hostile review are text."""
    said = printed(letter_table(LETTER, replayed=True))
    for part in ("0/17", "wrong_key", "restaurant.reviews/3/99", "2026-03-02", "(no UTF-8) ff", "맛있어요 [bold]"):
        assert part in said
    assert "\\u202e\\u001b[31m" in said
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert "(null)" in said


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "(null)"),
        (b"", ""),
        (b"not json {", "not json {"),
        (b"\xfe\x01", "(no UTF-8) fe 01"),
        (b"x" * 30_000, "10000 characters more"),
    ],
)
def test_values_that_are_no_json_are_shown_as_they_are(value: bytes | None, shown: str) -> None:
    """Bounded."""
    said = printed(letter_table(replace(LETTER, value=value), replayed=False))
    assert "".join(shown.split()) in "".join(said.split())


def test_an_exported_letter_holds_every_byte() -> None:
    """As text where it is UTF-8, else in base64."""
    document = letter_document(LETTER, replayed=False)
    assert document["key_base64"] == "/w=="
    assert document["value"] == (LETTER.value or b"").decode()
    assert document["headers"] == [
        {"name": "a", "value_base64": "AP8="},
        {"name_base64": "/w==", "value": None},
    ]
    assert document["at"] == "0/17"
    assert document["source"] == "restaurant.reviews/3/99"


def test_the_tally_has_most_first() -> None:
    """As a table, and as JSON."""
    tally = Tally()
    for _ in range(3):
        tally.add(replace(LETTER, reason="not_json", failed_at=None), replayed=True)
    tally.add(LETTER, replayed=False)
    said = printed(tally_table(tally))
    assert said.index("not_json") > said.index("reason")
    assert said.index("wrong_key") > said.index("not_json")
    assert [(row["reason"], row["letters"], row["replayed"]) for row in tally_document(tally)] == [
        ("not_json", 3, 3),
        ("wrong_key", 1, 0),
    ]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (None, None),
        ("90m", NOW - timedelta(minutes=90)),
        ("2d", NOW - timedelta(days=2)),
        ("2026-03-01T09:00:00+09:00", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T00:00:00Z", datetime(2026, 3, 1, tzinfo=UTC)),
    ],
)
def test_times_are_absolute_or_ago(text: str | None, wanted: datetime | None) -> None:
    """Both in one option."""
    assert moment("--since", text, NOW) == wanted


@pytest.mark.parametrize("text", ["yesterday", "2026-03-01T00:00:00", "5", "99999999d", "-1h"])
def test_other_times_are_refused_with_what_is_allowed(text: str) -> None:
    """And the option's name."""
    with pytest.raises(ConfigError, match=r"--since .*such as"):
        moment("--since", text, NOW)
