"""One restaurant, one lane: records in the wrong place."""

import pytest

from consumer.errors import ConfigError, DeadLetter
from consumer.stream.keys import FIRST_RECORDS, KeyCheck
from schemas.topics import KeyPartitioner, crc32_partition, murmur2_partition


@pytest.mark.parametrize(
    ("kind", "place"), [(KeyPartitioner.MURMUR2, murmur2_partition), (KeyPartitioner.CRC32, crc32_partition)]
)
def test_only_the_partitioners_place_is_right(kind: KeyPartitioner, place: object) -> None:
    """By the rule that upstream uses."""
    right = place(b"1003", 12)  # type: ignore[operator]
    check = KeyCheck("reviews", kind, 12)
    check.check(b"1003", right, b"1003")
    with pytest.raises(DeadLetter, match=f"puts this key on {right}") as caught:
        check.check(b"1003", (right + 1) % 12, b"1003")
    assert caught.value.reason == "wrong_key"


def test_any_partition_will_do_when_told_so() -> None:
    """But the key must still be the restaurant's."""
    check = KeyCheck("reviews", KeyPartitioner.ANY, 12)
    check.check(b"1003", 7, b"1003")
    for key in (None, b'"1003"', b"1004"):
        with pytest.raises(DeadLetter, match="not its restaurant_id"):
            check.check(key, 7, b"1003")


def test_a_topic_keyed_some_other_way_stops_the_consumer() -> None:
    """When the first 100 records are all wrong; not when one of them was right."""
    check, mixed = (KeyCheck("reviews", KeyPartitioner.MURMUR2, 1) for _ in range(2))
    mixed.check(b"1", 0, b"1")
    for _ in range(FIRST_RECORDS - 1):
        for each in (check, mixed):
            with pytest.raises(DeadLetter):
                each.check(None, 0, b"1")
    with pytest.raises(ConfigError, match="KEY_PARTITIONER"):
        check.check(None, 0, b"1")
    with pytest.raises(DeadLetter):
        mixed.check(None, 0, b"1")
