"""The last value of each key, from records in order; and what is said of it."""

import json
import random

from consumer.cli.state_document import export_line, knows, lane_document
from consumer.kafka.standing import Offsets
from consumer.store.latest import Latest, LatestValues
from consumer.stream.changelog import entries, mark_entry, parse_key, restaurant_of
from consumer.stream.place import LaneMark
from consumer.stream.record import Partition
from consumer.stream.state import Changes, RestaurantState, ReviewState
from schemas.base import Sentiment

LANE, OTHER = Partition("t", 0), Partition("t", 1)
OFFSETS = Offsets(3, 90, 40)


def test_it_holds_what_a_dictionary_would() -> None:
    """Random records in random pieces: keys come and go, also within one piece."""
    chance = random.Random(3)
    values, expected = LatestValues(), dict[bytes, bytes | None]()
    for _ in range(200):
        records = [
            (b"k%d" % chance.randrange(30), chance.choice([None, b"%d" % chance.randrange(999)]))
            for _ in range(chance.randrange(9))
        ]
        values.take(LANE, records)
        expected.update(records)
    left = {key: value for key, value in expected.items() if value is not None}
    assert {found.key: found.value for found in values.of(LANE)} == left
    assert values.count(LANE) == len(left)
    assert [values.get(LANE, key) for key in left] == list(left.values())
    values.close()
    values.close()


def test_lanes_are_apart_and_keys_come_in_pages() -> None:
    """As a reset walks over them."""
    values = LatestValues()
    values.take(LANE, [(b"b", b"1"), (b"a", b"2"), (b"c", b"3")])
    values.take(OTHER, [(b"a", b"4"), (b"a", None)])
    assert values.keys(LANE, b"", 2) == [b"a", b"b"]
    assert values.keys(LANE, b"b", 2) == [b"c"]
    assert values.keys(OTHER, b"", 2) == []
    assert values.get(OTHER, b"a") is None
    values.close()


def _records(changes: Changes) -> list[Latest]:
    found = [*entries(changes), mark_entry(LaneMark(40, 7, 2))]
    return [Latest(LANE, key, value, number) for number, (key, value) in enumerate(found) if value is not None]


def test_a_restaurant_is_shown_with_its_newest_reviews_and_no_texts() -> None:
    """A deleted one is counted apart."""
    reviews: dict[tuple[str, str], ReviewState | None] = {
        ("a", str(n)): ReviewState(n, 1, 0, b"h" * 16, Sentiment.POSITIVE, 0.5, "글" if n > 3 else None)
        for n in range(6)
    }
    reviews["a", "9"] = ReviewState(9, 2, 0, None, deleted_at=5.0)
    found = _records(Changes({"a": RestaurantState("a", positive=6)}, reviews))
    shown = lane_document(LANE, OFFSETS, found, newest=2, texts=False)
    assert shown["state"] == {"restaurant_id": "a", "positive": 6}
    assert shown["mark"]["sequence"] == 7
    assert (shown["lag"], shown["committed"], shown["end"]) == (50, 40, 90)
    counts = {name: shown["reviews"][name] for name in ("standing", "deleted", "not_summarised")}
    assert counts == {"standing": 6, "deleted": 1, "not_summarised": 2}
    assert [review["review_id"] for review in shown["reviews"]["newest"]] == [9, 5]
    assert "글" not in json.dumps(shown, ensure_ascii=False)
    assert knows(shown)
    with_texts = lane_document(LANE, OFFSETS, found, newest=2, texts=True)
    assert with_texts["reviews"]["newest"][1]["text"] == "글"


def test_a_lane_that_does_not_know_it() -> None:
    """Its mark is no knowledge."""
    shown = lane_document(LANE, OFFSETS, _records(Changes()), newest=2, texts=False)
    assert not knows(shown)


def test_kinds_that_are_new_to_this_version_are_exported_and_shown_as_they_are() -> None:
    """A newer member may have written them."""
    new = Latest(LANE, rb"X|a\|b||c", b'{"deep": [1, {"n": null}]}', 0)
    line = json.loads(export_line(new))
    assert line == {
        "topic": "t",
        "partition": 0,
        "kind": "X",
        "ids": ["a|b", "", "c"],
        "value": {"deep": [1, {"n": None}]},
    }
    assert json.loads(export_line(Latest(LANE, b"\xff", b"1", 0)))["kind"] == "unreadable"
    shown = lane_document(LANE, OFFSETS, [new], newest=0, texts=False)
    assert shown["more"][0]["kind"] == "X"
    assert knows(shown)


def test_whom_a_record_is_about() -> None:
    """By its kind; nobody for the mark and for kinds that are not known."""
    assert restaurant_of(parse_key(b"R|a")) == "a"
    assert restaurant_of(parse_key(rb"V|a\|b|1")) == "a|b"
    assert restaurant_of(parse_key(b"G||a")) == "a"
    assert restaurant_of(parse_key(b"~lane")) is None
    assert restaurant_of(parse_key(b"X|a")) is None
    assert restaurant_of(parse_key(b"R")) is None
