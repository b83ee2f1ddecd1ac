"""What becomes of a record of a topic with another key: its copy where its restaurant belongs, else a dead letter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.errors import DeadLetter
from consumer.stream.rekey import Rekeying
from schemas.codec import encode_document
from schemas.topics import KeyPartitioner, crc32_partition, murmur2_partition
from tests.unit.records import FakeRecord

IDS = st.integers(-(2**53), 2**53) | st.text(min_size=1, max_size=30).filter(lambda text: text.strip() == text)
HEADERS = st.lists(st.tuples(st.text(max_size=10), st.binary(max_size=10)), max_size=4)


def event(restaurant: object) -> bytes:
    """A review event."""
    return encode_document({"review_id": 1, "restaurant_id": restaurant, "content": "맛있어요"})


@given(IDS, st.none() | st.binary(max_size=20), HEADERS, st.integers(-1, 2**40), st.integers(1, 64))
def test_a_copy_is_keyed_and_placed_by_its_restaurant_and_else_as_it_was(
    restaurant: int | str, key: bytes | None, headers: list[tuple[str, bytes]], timestamp: int, partitions: int
) -> None:
    """Whatever its key was; value, headers and timestamp byte for byte."""
    value = event(restaurant)
    record = FakeRecord("old", 3, 7, timestamp, key, value, tuple(headers))
    copy = Rekeying("reviews", KeyPartitioner.MURMUR2, partitions).copy(record)
    assert copy.key == str(restaurant).encode()
    assert copy.place == murmur2_partition(str(restaurant).encode(), partitions)
    assert (copy.topic, copy.value, list(copy.headers)) == ("reviews", value, headers)
    assert copy.timestamp == (timestamp if timestamp >= 0 else None)


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        (KeyPartitioner.CRC32, crc32_partition),
        (KeyPartitioner.ANY, murmur2_partition),
    ],
)
def test_the_copy_lies_where_the_consumer_looks_for_it(kind: KeyPartitioner, place: object) -> None:
    """By the rule of KEY_PARTITIONER, and by murmur2 where any will do."""
    copy = Rekeying("reviews", kind, 12).copy(FakeRecord("old", 0, 0, key=b"x", value=event(1003)))
    assert copy.place == place(b"1003", 12)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "null_value"),
        (b"{", "not_json"),
        (b'{"review_id": 1, "content": "x"}', "invalid_event"),
        (b'{"review_id": 1, "restaurant_id": null, "content": "x"}', "invalid_event"),
    ],
)
def test_what_names_no_restaurant_is_a_dead_letter(value: bytes | None, reason: str) -> None:
    """With the reason that the consumer would give."""
    with pytest.raises(DeadLetter) as caught:
        Rekeying("reviews", KeyPartitioner.MURMUR2, 4).copy(FakeRecord("old", 0, 0, key=b"1", value=value))
    assert caught.value.reason == reason
