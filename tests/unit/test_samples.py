"""The sample data keeps what producer/samples/README.md and tests/data/README.md promise.

Plain json only: the samples are checked as upstream would write them, without the product's own models.
"""

import csv
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "producer" / "samples"
NSMC = ROOT / "tests" / "data" / "nsmc_reviews.jsonl"
HANGUL = re.compile("[가-힣ㄱ-ㅎㅏ-ㅣ]")
LATIN_WORD = re.compile("[A-Za-z]{2,}")
REQUIRED = {"review_id", "restaurant_id", "content"}
OPTIONAL = {
    "version",
    "created_at",
    "comparison_group",
    "restaurant_name",
    "is_recommended",
    "rating",
    "priority",
}

Event = dict[str, Any]


def read_lines(path: Path) -> list[str]:
    """The file's lines without their ends; only a line feed ends a line, as in JSON Lines."""
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


@dataclass
class Stream:
    """The sample's lines sorted into what each one is; numbers are line numbers from 1."""

    firsts: dict[str, Event] = field(default_factory=dict)
    edits: list[int] = field(default_factory=list)
    deletes: list[int] = field(default_factory=list)
    repeats: list[int] = field(default_factory=list)
    standing: dict[str, Event] = field(default_factory=dict)


def version_of(event: Event) -> int:
    """The event's version; one without is the first."""
    return int(event.get("version", 1))


def sort_out(lines: list[str]) -> Stream:
    """Tell first versions, edits, deletes and repeats apart, whatever the order of arrival."""
    stream, seen = Stream(), set[str]()
    for number, line in enumerate(lines, start=1):
        event = json.loads(line)
        review = str(event["review_id"])
        if line in seen:
            stream.repeats.append(number)
        elif event["content"] is None:
            stream.deletes.append(number)
        elif version_of(event) > 1:
            stream.edits.append(number)
        else:
            assert review not in stream.firsts, f"line {number} is a second first version"
            stream.firsts[review] = event
        seen.add(line)
        if version_of(event) >= version_of(stream.standing.get(review, event)):
            stream.standing[review] = event
    return stream


def is_english(content: str) -> bool:
    """No Hangul, and at least three words in Latin letters: 'JMT' and emoji are not English."""
    return not HANGUL.search(content) and len(LATIN_WORD.findall(content)) >= 3


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """The lines of the sample stream."""
    return read_lines(SAMPLES / "reviews.jsonl")


@pytest.fixture(scope="module")
def events(lines: list[str]) -> list[Event]:
    """The same lines, parsed."""
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def stream(lines: list[str]) -> Stream:
    """The same lines, sorted out."""
    return sort_out(lines)


def readme_counts() -> dict[str, int]:
    """The count table of the samples' README."""
    text = (SAMPLES / "README.md").read_text(encoding="utf-8")
    return {name: int(count) for name, count in re.findall(r"^\| ([A-Za-z ()]+) \| (\d+) \|$", text, re.MULTILINE)}


def readme_lines(bullet: str) -> list[int]:
    """The line numbers that a bullet of the samples' README lists after its first colon."""
    text = (SAMPLES / "README.md").read_text(encoding="utf-8")
    listed = re.search(rf"- \*\*{bullet}\*\*[^:]*: lines ([\d,\s]+)\.", text)
    assert listed is not None, f"the README lists no lines for {bullet}"
    return [int(number) for number in listed[1].split(",")]


def check_fields(event: Event) -> None:
    """Assert that an event has the required fields, no unknown ones, and the right types."""
    assert event.keys() >= REQUIRED
    assert event.keys() <= REQUIRED | OPTIONAL
    assert type(event["review_id"]) in {int, str}
    assert type(event["restaurant_id"]) in {int, str}
    assert event["content"] is None or type(event["content"]) is str
    assert type(event.get("version", 1)) is int
    assert type(event.get("is_recommended", True)) is bool
    assert 1 <= event.get("rating", 1) <= 5
    assert event.get("priority", "normal") in {"high", "normal", "low"}
    assert datetime.fromisoformat(event["created_at"]).tzinfo is not None


def test_every_line_is_a_review_event(events: list[Event]) -> None:
    """Each line of the stream has the required fields, and its optional ones are good."""
    for event in events:
        check_fields(event)


def test_the_sample_is_as_large_as_promised(events: list[Event], stream: Stream) -> None:
    """At least 300 reviews and 320 lines, of 12 restaurants, four in each of 3 groups."""
    groups = {str(event["restaurant_id"]): event["comparison_group"] for event in stream.firsts.values()}
    reviews = Counter(str(event["restaurant_id"]) for event in stream.firsts.values())
    assert len(events) >= 320
    assert len(stream.firsts) >= 300
    assert len(groups) == 12
    assert sorted(Counter(groups.values()).values()) == [4, 4, 4]
    assert min(reviews.values()) >= 20, "a restaurant needs enough reviews for a summary"


def test_english_is_a_tenth_of_it(stream: Stream) -> None:
    """10 to 20 % of the reviews are English; every restaurant has Korean ones."""
    english = sum(is_english(event["content"]) for event in stream.firsts.values())
    korean_of = {str(e["restaurant_id"]) for e in stream.firsts.values() if HANGUL.search(e["content"])}
    assert 0.10 <= english / len(stream.firsts) <= 0.20
    assert len(korean_of) == 12


def test_edits_deletes_and_repeats_are_there(events: list[Event], stream: Stream) -> None:
    """At least ten of each; each edit and delete belongs to a review of the same restaurant and changes it."""
    assert min(len(stream.edits), len(stream.deletes), len(stream.repeats)) >= 10
    for number in [*stream.edits, *stream.deletes]:
        event = events[number - 1]
        first = stream.firsts[str(event["review_id"])]
        assert version_of(event) > version_of(first)
        assert event["content"] != first["content"]
        assert event["restaurant_id"] == first["restaurant_id"]
        assert event["created_at"] == first["created_at"]


def test_ids_keep_their_type(events: list[Event]) -> None:
    """A restaurant's id, and those of its reviews, are always text or always integers; both kinds occur."""
    types: dict[str, set[type]] = {}
    for event in events:
        kinds = types.setdefault(str(event["restaurant_id"]), set())
        kinds |= {type(event["restaurant_id"]), type(event["review_id"])}
    assert all(len(kinds) == 1 for kinds in types.values())
    assert set().union(*types.values()) == {int, str}


def test_a_review_belongs_to_one_restaurant(events: list[Event]) -> None:
    """No review id is used by two restaurants, and a restaurant has one name and one group."""
    owners = {(str(e["review_id"]), str(e["restaurant_id"])) for e in events}
    named = {(str(e["restaurant_id"]), e["restaurant_name"], e["comparison_group"]) for e in events if e["content"]}
    assert len(owners) == len({review for review, _ in owners})
    assert len(named) == 12


def test_restaurants_are_interleaved_in_time(stream: Stream) -> None:
    """First versions arrive in the order they were written, but for the one that comes late; restaurants alternate."""
    firsts = list(stream.firsts.values())
    written = [datetime.fromisoformat(event["created_at"]) for event in firsts]
    changes = sum(a["restaurant_id"] != b["restaurant_id"] for a, b in pairwise(firsts))
    assert sum(a > b for a, b in pairwise(written)) <= 1
    assert changes > len(firsts) / 2
    assert {moment.year for moment in written} == {2026}


def test_the_texts_vary(stream: Stream) -> None:
    """Hardly two reviews share a text or an opening, and lengths go from one word to one of some 2,500 characters."""
    contents = [event["content"] for event in stream.firsts.values()]
    openings = Counter(content[:12] for content in contents if len(content) > 12)
    lengths = sorted(map(len, contents))
    assert len(set(contents)) >= len(contents) - 3
    assert openings.most_common(1)[0][1] <= 3
    assert lengths[5] <= 5
    assert 2300 <= lengths[-1] <= 2700


def test_the_slang_and_emoji_of_real_reviews_occur(stream: Stream) -> None:
    """The ways of writing that an engine will meet are in it."""
    text = "\n".join(event["content"] for event in stream.firsts.values())
    for way in ("존맛탱", "JMT", "갓성비", "ㄹㅇ", "ㅠㅠ", "ㅋㅋ", "맛있엇어요", "👍", "^^"):
        assert way in text, way


def test_stars_are_sometimes_at_odds_with_thumbs(stream: Stream) -> None:
    """Ratings use the whole scale, and a few contradict the recommendation."""
    firsts = stream.firsts.values()
    assert {event["rating"] for event in firsts} == {1, 2, 3, 4, 5}
    assert any(e["rating"] == 1 and e.get("is_recommended") is True for e in firsts)
    assert any(e["rating"] == 5 and e.get("is_recommended") is False for e in firsts)


def test_the_readme_counts_are_the_files(events: list[Event], stream: Stream) -> None:
    """The README's table of counts is what the stream holds."""
    standing = [event for event in stream.standing.values() if event["content"] is not None]
    assert readme_counts() == {
        "lines": len(events),
        "reviews (distinct ids)": len(stream.firsts),
        "reviews in English": sum(is_english(event["content"]) for event in stream.firsts.values()),
        "restaurants": len({str(event["restaurant_id"]) for event in events}),
        "comparison groups": len({event["comparison_group"] for event in stream.firsts.values()}),
        "edits": len(stream.edits),
        "deletes": len(stream.deletes),
        "exact repeats": len(stream.repeats),
        "reviews left standing at the end": len(standing),
    }


def test_the_readme_lists_the_right_lines(stream: Stream) -> None:
    """The README names the lines that are edits, deletes and repeats."""
    assert readme_lines("Edits") == stream.edits
    assert readme_lines("Deletes") == stream.deletes
    assert readme_lines("Exact repeats") == stream.repeats


def test_the_late_first_version_follows_its_edit(events: list[Event]) -> None:
    """Lines 21 and 22: an edit overtakes the review it edits."""
    edit, first = events[20], events[21]
    assert edit["review_id"] == first["review_id"]
    assert (edit["version"], first["version"]) == (2, 1)


def test_three_malformed_events_each_for_its_own_reason(events: list[Event]) -> None:
    """Not JSON, no review_id, content of a wrong type; each keyed by a restaurant of the sample."""
    broken = [json.loads(line) for line in read_lines(SAMPLES / "malformed.jsonl")]
    restaurants = {str(event["restaurant_id"]) for event in events}
    assert [entry.keys() for entry in broken] == [{"key", "value_text"}] * 3
    assert {entry["key"] for entry in broken} <= restaurants
    with pytest.raises(json.JSONDecodeError):
        json.loads(broken[0]["value_text"])
    nameless, odd = (json.loads(entry["value_text"]) for entry in broken[1:])
    assert "review_id" not in nameless
    assert str(nameless["restaurant_id"]) == broken[1]["key"]
    assert not isinstance(odd["content"], str | None)
    assert str(odd["restaurant_id"]) == broken[2]["key"]


def test_the_csv_has_fifteen_rows_of_the_same_fields(events: list[Event]) -> None:
    """Header as the field names; restaurants of the sample; ids of its own; quotes, commas and a line break."""
    with (SAMPLES / "reviews.csv").open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert set(reader.fieldnames or ()) == REQUIRED | OPTIONAL
    assert len({row["review_id"] for row in rows}) == 15
    assert {row["restaurant_id"] for row in rows} == {str(event["restaurant_id"]) for event in events}
    assert not {row["review_id"] for row in rows} & {str(event["review_id"]) for event in events}
    assert any("\n" in row["content"] for row in rows)
    assert any('"' in row["content"] for row in rows)


def test_the_nsmc_extract_is_as_described() -> None:
    """300 reviews with distinct ids, 50 of each of six movies, with the ratings its README counts."""
    reviews = [json.loads(line) for line in read_lines(NSMC)]
    for review in reviews:
        check_fields(review)
        assert len(review["content"].strip()) >= 4
    assert len({review["review_id"] for review in reviews}) == 300
    assert sorted(Counter(review["restaurant_id"] for review in reviews).values()) == [50] * 6
    assert Counter(review["rating"] for review in reviews) == {1: 65, 2: 30, 3: 49, 4: 48, 5: 108}
