"""Topic names and partition rules, in one place."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

DLQ_HEADROOM_BYTES = 64 * 1024
DEFAULT_MAX_MESSAGE_BYTES = 1024 * 1024 + 12
"""Kafka's own default: 1 MiB and the overhead of one record batch."""


class TopicNames(BaseSettings):
    """The topics' names; environment variables `TOPIC_...`."""

    model_config = SettingsConfigDict(env_prefix="TOPIC_", frozen=True, extra="ignore")

    reviews: str = Field("restaurant.reviews", description="Review events, in.")
    requests: str = Field("restaurant.analysis.requests", description="Batch requests, in, one restaurant a record.")
    sentiment: str = Field("restaurant.sentiment", description="One SentimentResult per review event.")
    totals: str = Field("restaurant.sentiment.totals", description="Counts per restaurant, compacted.")
    summary: str = Field("restaurant.summary", description="Rolling summary per restaurant, compacted.")
    strength: str = Field("restaurant.strength", description="Strengths per group and restaurant, compacted.")
    replies: str = Field("restaurant.analysis.replies", description="Replies to batch requests.")
    dlq: str = Field("restaurant.dlq", description="Dead letters, with the original key and value.")
    by_group: str = Field("restaurant.summaries.by-group", description="Summaries by comparison group, internal.")


def state_topic(group_id: str, input_topic: str) -> str:
    """The changelog of one input topic's lanes."""
    return f"{group_id}.{input_topic}.state"


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """How a topic must be."""

    name: str
    like: str | None = None
    """Topic with the same partition count; None where any count will do."""
    config: Mapping[str, str] = field(default_factory=dict)
    holds: tuple[str, ...] = ()
    """Topics whose records it takes with 64 KiB of headers added: its `max.message.bytes` is theirs and those."""


CLEANUP_POLICY = "cleanup.policy"
MAX_MESSAGE_BYTES = "max.message.bytes"
_DELETE = {CLEANUP_POLICY: "delete"}
_COMPACT = {CLEANUP_POLICY: "compact"}
DELETE_RETENTION_SECONDS = 24 * 3600
"""How long a compacted topic keeps a tombstone that readers may not have seen: Kafka's default, made sure of."""
_READ_AT_EVERY_START = {
    **_COMPACT,
    "segment.bytes": str(64 * 1024 * 1024),
    "segment.ms": str(3600 * 1000),
    "min.cleanable.dirty.ratio": "0.2",
    "delete.retention.ms": str(DELETE_RETENTION_SECONDS * 1000),
}
"""Kafka never compacts the segment that is being written, by default up to 1 GiB or a week of it. A lane writes its
mark up to five times a second: some hundred megabytes a week of nothing but old marks, read by whoever restores without
a local store. With these at most an hour of them is left, and old values are a fifth of the rest."""


def topic_specs(
    names: TopicNames, group_id: str, max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES
) -> tuple[TopicSpec, ...]:
    """Every topic of the system; the dead letters' limit is the input's plus 64 KiB, for the headers added."""
    dlq = {**_DELETE, MAX_MESSAGE_BYTES: str(max_message_bytes + DLQ_HEADROOM_BYTES)}
    return (
        TopicSpec(names.reviews, config=_DELETE),
        TopicSpec(names.requests, config=_DELETE),
        TopicSpec(names.sentiment, like=names.reviews, config=_DELETE),
        TopicSpec(names.totals, like=names.reviews, config=_COMPACT),
        TopicSpec(names.summary, like=names.reviews, config=_COMPACT),
        TopicSpec(names.strength, config=_COMPACT),
        TopicSpec(names.replies, config=_DELETE),
        TopicSpec(names.dlq, config=dlq, holds=(names.reviews, names.requests)),
        TopicSpec(names.by_group, config=_READ_AT_EVERY_START),
        TopicSpec(state_topic(group_id, names.reviews), like=names.reviews, config=_READ_AT_EVERY_START),
        TopicSpec(state_topic(group_id, names.by_group), like=names.by_group, config=_READ_AT_EVERY_START),
    )


class KeyPartitioner(StrEnum):
    """How upstream puts a key on a partition: Java, aiokafka by murmur2, librdkafka by CRC-32 unless told otherwise."""

    MURMUR2 = "murmur2"
    CRC32 = "crc32"
    ANY = "any"


def partitioner(kind: KeyPartitioner) -> Callable[[bytes, int], int] | None:
    """(key, partition count) → partition; None where any partition is right."""
    rules: dict[KeyPartitioner, Callable[[bytes, int], int]] = {
        KeyPartitioner.MURMUR2: murmur2_partition,
        KeyPartitioner.CRC32: crc32_partition,
    }
    return rules.get(kind)


def crc32_partition(key: bytes, partitions: int) -> int:
    """Librdkafka's `consistent` partitioner."""
    return zlib.crc32(key) % partitions


def murmur2_partition(key: bytes, partitions: int) -> int:
    """Partition of a key by Kafka's default rule (org.apache.kafka.clients.producer.internals.BuiltInPartitioner)."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def by_group_key(comparison_group: str | None, restaurant_key: bytes) -> bytes:
    """What decides a by-group record's partition, by murmur2.

    Restaurants of a group meet in one partition; those without a group spread by their own id.
    """
    return comparison_group.encode("utf-8", "surrogatepass") if comparison_group else restaurant_key


def by_group_partition(comparison_group: str | None, restaurant_key: bytes, partitions: int) -> int:
    """The partition of a by-group record."""
    return murmur2_partition(by_group_key(comparison_group, restaurant_key), partitions)


@lru_cache(maxsize=65_536)
def murmur2(data: bytes) -> int:
    """32-bit MurmurHash2 with Kafka's seed (org.apache.kafka.common.utils.Utils.murmur2), unsigned.

    Remembered, bounded: the same few thousand restaurants come again and again.
    """
    multiplier, mask = 0x5BD1E995, 0xFFFFFFFF
    h = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * multiplier & mask
        k = (k ^ k >> 24) * multiplier & mask
        h = h * multiplier & mask ^ k
    if whole < len(data):
        h = (h ^ int.from_bytes(data[whole:], "little")) * multiplier & mask
    h = (h ^ h >> 13) * multiplier & mask
    return h ^ h >> 15
