"""Bytes become models and models bytes: each way a value can be wrong has its own reason."""

import json
from typing import Any

import pytest

from schemas.base import Priority, id_text
from schemas.codec import (
    Undecodable,
    decode,
    decode_answer,
    decode_group_key,
    decode_review,
    encode,
    group_key,
    restaurant_key,
)
from schemas.events import AnalysisRequest, ReviewEvent
from schemas.headers import EventType, cloud_event
from schemas.results import SentimentTotals

GOOD: dict[str, Any] = {"review_id": "r1", "restaurant_id": 7, "content": "국물이 진해요"}


def value(**changes: Any) -> bytes:
    """Make a review event's bytes, with some fields changed."""
    return json.dumps({**GOOD, **changes}, ensure_ascii=False).encode()


def test_a_minimal_review_is_read_with_its_defaults() -> None:
    """Only the three required fields are there: nothing is dropped."""
    read = decode_review(value())
    assert read.event == ReviewEvent(review_id="r1", restaurant_id=7, content="국물이 진해요")
    assert read.event.priority is Priority.NORMAL
    assert read.dropped == ()


def test_null_content_is_a_deletion_and_a_missing_one_is_refused() -> None:
    """A deletion must be said, it is never assumed."""
    assert decode_review(value(content=None)).event.content is None
    with pytest.raises(Undecodable, match="content: Field required"):
        decode_review(b'{"review_id":1,"restaurant_id":2}')


@pytest.mark.parametrize(
    ("raw", "reason", "says"),
    [
        (None, "null_value", "null content"),
        (b"", "not_json", "not JSON"),
        (b"\xff\xfe", "not_json", "not JSON"),
        (b'{"review_id":', "not_json", "not JSON"),
        (b'{"review_id":1,"restaurant_id":1,"content":"\\ud800"}', "not_json", "not JSON"),
        (b"[" * 2000 + b"]" * 2000, "not_json", "not JSON"),
        (b"[1,2]", "invalid_event", "JSON array"),
        (b'"text"', "invalid_event", "JSON string"),
        (b"null", "invalid_event", "JSON null"),
        (b"true", "invalid_event", "JSON boolean"),
        (b"1.5", "invalid_event", "JSON number"),
        (b"{}", "invalid_event", "review_id: Field required"),
        (b'{"review_id":"","restaurant_id":1,"content":"a"}', "invalid_event", "review_id"),
        (b'{"review_id":1.5,"restaurant_id":1,"content":"a"}', "invalid_event", "review_id"),
        (b'{"review_id":true,"restaurant_id":1,"content":"a"}', "invalid_event", "review_id"),
        (b'{"review_id":1,"restaurant_id":null,"content":"a"}', "invalid_event", "restaurant_id"),
        (b'{"review_id":1,"restaurant_id":1,"content":["a"]}', "invalid_event", "content"),
        (b'{"review_id":99999999999999999999999,"restaurant_id":1,"content":"a"}', "invalid_event", "review_id"),
    ],
)
def test_what_cannot_be_read_says_why(raw: bytes | None, reason: str, says: str) -> None:
    """The reason is a code, the message says where and what."""
    with pytest.raises(Undecodable, match=says) as caught:
        decode_review(raw)
    assert caught.value.reason == reason


def test_an_id_of_a_wrong_type_is_told_both_types_that_are_allowed() -> None:
    """One place, both forms: not the library's names for them."""
    with pytest.raises(Undecodable) as caught:
        decode_review(b'{"review_id":1.5,"restaurant_id":1,"content":"a"}')
    said = "review_id: Input should be a valid string, or: Input should be a valid integer"
    assert str(caught.value).startswith(said)


def test_the_message_never_repeats_the_value() -> None:
    """A review's text has no place in a header or a log."""
    with pytest.raises(Undecodable) as caught:
        decode_review(b'{"review_id":{"a":"secret text"},"restaurant_id":1,"content":["secret text"]}')
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("version", -1),
        ("version", "2"),
        ("version", 1.0),
        ("created_at", "yesterday"),
        ("created_at", "2026-10-02T19:42:10"),
        ("created_at", "2026-10-02"),
        ("created_at", 1764000000),
        ("created_at", "1764000000"),
        ("deadline", True),
        ("rating", 6),
        ("rating", "4"),
        ("rating", True),
        ("is_recommended", "yes"),
        ("is_recommended", 1),
        ("priority", "urgent"),
        ("priority", None),
        ("comparison_group", 5),
        ("comparison_group", "g" * 513),
        ("restaurant_name", ["a"]),
    ],
)
def test_a_bad_optional_field_is_dropped_and_named(field: str, bad: Any) -> None:
    """The event is as if the field had not been sent; the name is told, for the counter."""
    read = decode_review(value(**{field: bad}))
    assert read.dropped == (field,)
    assert read.event == decode_review(value()).event


def test_several_bad_optional_fields_are_all_named() -> None:
    """Names come in alphabetical order, so that equal events are equal."""
    assert decode_review(value(rating=0, version=-1, deadline="x")).dropped == ("deadline", "rating", "version")


def test_a_bad_optional_field_does_not_hide_a_bad_required_one() -> None:
    """With both, the event is refused."""
    with pytest.raises(Undecodable, match="restaurant_id"):
        decode_review(value(rating=0, restaurant_id=None))


@pytest.mark.parametrize("time", ["2026-10-02T19:42:10+09:00", "2026-10-02T10:42:10Z", "2026-10-02t10:42:10.000z"])
def test_rfc3339_times_are_read_with_their_offset(time: str) -> None:
    """All three name the same moment."""
    created = decode_review(value(created_at=time)).event.created_at
    assert created is not None
    assert created.timestamp() == 1790937730


def test_ids_come_back_in_the_type_received_and_compare_as_text() -> None:
    """1 and "1" are one restaurant with one key; each is given back as it was sent."""
    number, text = (decode_review(value(restaurant_id=sent)).event for sent in (1, "1"))
    assert (number.restaurant_id, text.restaurant_id) == (1, "1")
    assert json.loads(encode(number))["restaurant_id"] == 1
    assert json.loads(encode(text))["restaurant_id"] == "1"
    assert id_text(number.restaurant_id) == id_text(text.restaurant_id)
    assert restaurant_key(number.restaurant_id) == restaurant_key(text.restaurant_id) == b"1"


def test_other_models_are_refused_with_the_same_reasons() -> None:
    """`decode` drops nothing: only review events are forgiven their optional fields."""
    with pytest.raises(Undecodable) as caught:
        decode(AnalysisRequest, b'{"request_id":"a"}')
    assert caught.value.reason == "invalid_event"
    with pytest.raises(Undecodable) as caught:
        decode(SentimentTotals, None)
    assert caught.value.reason == "null_value"


def test_group_keys_are_json_and_round_trip() -> None:
    """No group is the empty text; an integer id becomes text."""
    assert group_key("seoul-mapo/bbq", "a") == b'["seoul-mapo/bbq","a"]'
    assert group_key(None, 7) == b'["","7"]'
    assert decode_group_key(group_key("서울/국밥", 7)) == ("서울/국밥", "7")


@pytest.mark.parametrize("key", [None, b"", b"a", b'["a"]', b'["a","b","c"]', b'["a",1]', b'"ab"', b'{"a":1,"b":2}'])
def test_a_key_that_is_no_group_key_is_refused(key: bytes | None) -> None:
    """A text of two letters or an object of two fields is no pair."""
    with pytest.raises(Undecodable) as caught:
        decode_group_key(key)
    assert caught.value.reason == "invalid_key"


def test_a_models_answer_is_read_strictly() -> None:
    """A fenced or cut answer is refused, never repaired."""
    assert decode_answer('{"a": [1]}') == {"a": [1]}
    for text in ('```json\n{"a": 1}\n```', '{"a": 1', ""):
        with pytest.raises(Undecodable, match="not JSON"):
            decode_answer(text)


def test_cloud_event_headers_are_text_in_bytes() -> None:
    """CloudEvents' Kafka binding: `ce_` names, UTF-8 values, the content type without prefix."""
    created = decode_review(value(created_at="2026-10-02T10:42:10Z")).event.created_at
    assert created is not None
    assert dict(cloud_event("t/0/5/sentiment", EventType.SENTIMENT, "review-consumer", created)) == {
        "ce_specversion": b"1.0",
        "ce_id": b"t/0/5/sentiment",
        "ce_type": b"restaurant.sentiment.v1",
        "ce_source": b"review-consumer",
        "ce_time": b"2026-10-02T10:42:10Z",
        "content-type": b"application/json",
    }
