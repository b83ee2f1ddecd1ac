"""What holds for every value: nothing but Undecodable is raised, what is written can be read."""

import contextlib
import json
from datetime import timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.base import id_text
from schemas.codec import (
    Undecodable,
    decode,
    decode_group_key,
    decode_review,
    encode,
    encode_document,
    group_key,
    restaurant_key,
)
from schemas.events import AnalysisRequest, ReviewEvent

SIXTY_FOUR_BITS = st.integers(-(2**63), 2**64 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256) | SIXTY_FOUR_BITS
SCALARS = st.none() | st.booleans() | SIXTY_FOUR_BITS | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)
FIELDS = st.sampled_from(sorted(ReviewEvent.model_fields))
OPTIONAL = ["version", "created_at", "comparison_group", "restaurant_name", "is_recommended", "rating", "deadline"]
OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
"""RFC 3339 knows whole minutes only."""
EVENTS = st.builds(
    ReviewEvent,
    review_id=IDS,
    restaurant_id=IDS,
    content=st.none() | TEXTS,
    version=st.none() | st.integers(0, 2**63 - 1),
    created_at=st.none() | st.datetimes(timezones=OFFSETS),
    comparison_group=st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=512),
    is_recommended=st.none() | st.booleans(),
    rating=st.none() | st.floats(1, 5),
)


@given(st.none() | st.binary() | st.builds(encode_document, JSON))
def test_arbitrary_bytes_are_read_or_undecodable(raw: bytes | None) -> None:
    """Whatever lies on the topic, nothing else is raised."""
    for read in (decode_review, lambda value: decode(AnalysisRequest, value), decode_group_key):
        with contextlib.suppress(Undecodable):
            read(raw)


@given(st.dictionaries(FIELDS, JSON))
def test_arbitrary_fields_are_read_or_undecodable(document: dict[str, Any]) -> None:
    """An object with our own field names and any values is an event, or Undecodable with a reason and a message."""
    required = {"review_id", "restaurant_id", "content"}
    raw = encode_document(document)
    if required - document.keys():
        with pytest.raises(Undecodable, match="Field required") as refused:
            decode_review(raw)
        assert refused.value.reason == "invalid_event"
        return
    with contextlib.suppress(Undecodable):
        assert set(decode_review(raw).dropped) <= document.keys() - required


@given(EVENTS)
def test_what_is_written_is_read_back(event: ReviewEvent) -> None:
    """Encode, then decode: the same event, the same ids in the same types, nothing dropped."""
    read = decode_review(encode(event))
    assert read.event == event
    assert read.dropped == ()
    assert type(read.event.review_id) is type(event.review_id)


@given(EVENTS, st.sets(st.sampled_from(OPTIONAL)))
def test_bad_optional_fields_are_dropped_named_and_nothing_else(event: ReviewEvent, spoiled: set[str]) -> None:
    """Exactly the spoiled fields are named; all others keep their values."""
    document = json.loads(encode(event)) | {name: {"not": "a value"} for name in spoiled}
    read = decode_review(json.dumps(document).encode())
    assert set(read.dropped) == spoiled
    assert read.event == event.model_copy(update=dict.fromkeys(spoiled))


@given(SIXTY_FOUR_BITS)
def test_an_integer_id_and_its_text_are_the_same_restaurant(number: int) -> None:
    """1 and "1" have one text and one key."""
    assert id_text(number) == id_text(str(number))
    assert restaurant_key(number) == restaurant_key(str(number))
    assert group_key("g", number) == group_key("g", str(number))


@given(TEXTS, IDS)
def test_a_group_key_is_read_back(group: str, restaurant: str | int) -> None:
    """The group and the id as text; no two pairs share a key."""
    assert decode_group_key(group_key(group, restaurant)) == (group, id_text(restaurant))
