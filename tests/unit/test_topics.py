"""Partition rules against their originals, and what every topic must be."""

from collections import Counter

import pytest
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.partitioner import murmur2 as aiokafka_murmur2

from consumer.store.disk import STALE_SECONDS
from schemas.codec import restaurant_key
from schemas.topics import (
    DEFAULT_MAX_MESSAGE_BYTES,
    KeyPartitioner,
    TopicNames,
    by_group_partition,
    crc32_partition,
    murmur2,
    murmur2_partition,
    partitioner,
    state_topic,
    topic_specs,
)

KEYS = [restaurant_key(key) for key in (*range(-3, 300), "", "a", "ab", "abc", "abcd", "마포숯불", "🍜" * 9, "\x00")]


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_gives_kafkas_own_vectors(key: bytes, signed: int) -> None:
    """The figures of Kafka's UtilsTest.testMurmur2 (signed, as Java writes them)."""
    assert murmur2(key) == signed % 2**32


def test_murmur2_equals_aiokafkas() -> None:
    """Every key lands where aiokafka's default partitioner, and so Java's, puts it."""
    place = DefaultPartitioner()
    for key in KEYS:
        assert murmur2(key) == aiokafka_murmur2(key) % 2**32
        for partitions in (1, 4, 12, 64):
            expected = place(key, list(range(partitions)), list(range(partitions)))
            assert murmur2_partition(key, partitions) == expected


def test_crc32_is_librdkafkas() -> None:
    """CRC-32 of the key, unsigned: 0xCBF43926 is the check value of its definition."""
    assert crc32_partition(b"123456789", 2**32) == 0xCBF43926
    assert [crc32_partition(b"123456789", count) for count in (1, 4, 12)] == [0, 2, 2]


def test_the_partitioner_is_chosen_by_its_name() -> None:
    """`any` has no rule: every partition is right."""
    assert partitioner(KeyPartitioner("murmur2")) is murmur2_partition
    assert partitioner(KeyPartitioner("crc32")) is crc32_partition
    assert partitioner(KeyPartitioner("any")) is None


def test_restaurants_of_a_group_meet_and_the_others_spread() -> None:
    """One group, one partition; with no group (null or empty) the restaurant's own id decides."""
    together = {by_group_partition("seoul-mapo/bbq", key, 12) for key in KEYS}
    assert together == {murmur2_partition(b"seoul-mapo/bbq", 12)}
    for none in (None, ""):
        alone = [by_group_partition(none, key, 12) for key in KEYS]
        assert alone == [murmur2_partition(key, 12) for key in KEYS]
        assert min(Counter(alone).values()) > 0
        assert len(set(alone)) == 12


def test_topics_are_as_designed() -> None:
    """Cleanup and partition counts of every topic."""
    names = TopicNames.model_construct()
    specs = {spec.name: spec for spec in topic_specs(names, "group")}
    compacted = {name for name, spec in specs.items() if spec.config["cleanup.policy"] == "compact"}
    with_reviews = {name for name, spec in specs.items() if spec.like == names.reviews}
    assert len(specs) == 11
    assert compacted == {
        names.totals,
        names.summary,
        names.strength,
        names.by_group,
        state_topic("group", names.reviews),
        state_topic("group", names.by_group),
    }
    assert with_reviews == {names.sentiment, names.totals, names.summary, "group.restaurant.reviews.state"}
    assert specs[state_topic("group", names.by_group)].like == names.by_group
    assert {spec.like for spec in specs.values()} <= {None, *specs}


def test_what_is_read_at_every_start_is_compacted_early() -> None:
    """The segment that is written is never compacted; and tombstones stay for twice as long as a store may be old."""
    names = TopicNames.model_construct()
    specs = {spec.name: spec for spec in topic_specs(names, "group")}
    read = (names.by_group, state_topic("group", names.reviews), state_topic("group", names.by_group))
    for config in (specs[name].config for name in read):
        assert int(config["segment.ms"]) <= 3600 * 1000
        assert int(config["segment.bytes"]) <= 64 * 1024 * 1024
        assert int(config["delete.retention.ms"]) == 2 * STALE_SECONDS * 1000


def test_dead_letters_may_be_64_kib_larger_than_the_input() -> None:
    """A record at the input's limit still fits, with the headers that are added."""
    names = TopicNames.model_construct()
    dlq = {spec.name: spec for spec in topic_specs(names, "group", 2_000_000)}[names.dlq]
    assert dlq.config["max.message.bytes"] == str(2_000_000 + 65_536)
    assert dlq.holds == (names.reviews, names.requests)
    assert DEFAULT_MAX_MESSAGE_BYTES == 1_048_588  # Kafka's default of message.max.bytes


def test_names_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each name has its variable, and the specs follow."""
    monkeypatch.setenv("TOPIC_REVIEWS", "my.reviews")
    names = TopicNames()
    assert names.reviews == "my.reviews"
    assert "g.my.reviews.state" in {spec.name for spec in topic_specs(names, "g")}
    assert {spec.like for spec in topic_specs(names, "g")} >= {"my.reviews"}
