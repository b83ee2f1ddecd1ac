"""Records as they lie in Kafka, read for the comparison; and reading a topic to its end in bounded memory."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.base import Sentiment
from schemas.codec import decode
from schemas.results import RestaurantStrengths, RestaurantSummary, SentimentResult, SentimentTotals
from tests.chaos.comparison import NO_REVIEW, Input, Letter, Place, Result
from tests.chaos.jobs import Counts, Made
from tests.chaos.traffic import FATE, NUMBER, Fate, label_of

_ADDED = "dlq."


class NotReadable(Exception):  # noqa: N818 - the state it tells of
    """A topic could not be read to its end in time: a transaction left open hides what comes after it."""


def input_of(record: Any) -> tuple[int, Input]:
    """Number and input of a record of the reviews topic."""
    marks = dict(record.headers)
    number, place = int(marks[NUMBER]), Place(record.partition, record.offset)
    if Fate(marks[FATE].decode()) is Fate.LETTER:
        return number, Input(place, record.key, NO_REVIEW, fingerprint=_fingerprint(record))
    event = orjson.loads(record.value)
    label = None if event["content"] is None else label_of(event["content"])
    return number, Input(place, record.key, event["review_id"], label)


def result_of(record: Any) -> Result:
    """A sentiment result. Raises ValueError where its `ce_id` and its provenance name different records."""
    found = decode(SentimentResult, record.value)
    source = found.provenance.source
    ce_id = dict(record.headers)["ce_id"].decode()
    if source is None or ce_id != f"{source.topic}/{source.partition}/{source.offset}/sentiment":
        raise ValueError(f"a result with ce_id {ce_id} says that it was made from {source}")
    return Result(
        record.partition,
        Place(source.partition, source.offset),
        int(found.review_id),
        analyzed=found.outcome == "analyzed",
        label=found.sentiment,
    )


def letter_of(record: Any) -> Letter:
    """A dead letter."""
    marks = dict(record.headers)
    _, partition, offset = marks["dlq.source"].decode().rsplit("/", 2)
    place = Place(int(partition), int(offset))
    return Letter(record.partition, place, _fingerprint(record), marks["dlq.reason"].decode())


def totals_of(record: Any) -> dict[Sentiment, int]:
    """The counts of a totals record; none for a tombstone."""
    if record.value is None:
        return {}
    found = decode(SentimentTotals, record.value)
    counts = (found.positive_count, found.negative_count, found.neutral_count)
    return dict(zip((Sentiment.POSITIVE, Sentiment.NEGATIVE, Sentiment.NEUTRAL), counts, strict=True))


def counts_of(record: Any) -> Counts | None:
    """What a summary made now would count; None for a tombstone."""
    if record.value is None:
        return None
    found = decode(SentimentTotals, record.value)
    return found.positive_count, found.negative_count, found.total_count


def summary_of(record: Any) -> Made | None:
    """A summary; None for a tombstone."""
    if record.value is None:
        return None
    found = decode(RestaurantSummary, record.value)
    return Made(_id(record), found.version, (found.positive_count, found.negative_count, found.review_count))


def strengths_of(record: Any) -> Made | None:
    """Strengths; None for a tombstone."""
    return Made(_id(record), decode(RestaurantStrengths, record.value).version) if record.value is not None else None


def _id(record: Any) -> str:
    return str(dict(record.headers)["ce_id"], "utf-8")


async def read_committed(bootstrap_servers: str, topic: str, partitions: int, seconds: float) -> AsyncIterator[Any]:
    """Every committed record of a topic, in the order of each partition. Raises NotReadable after `seconds`."""
    consumer: Any = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        enable_auto_commit=False,
        auto_offset_reset="earliest",  # not by seeking: a position that is being looked up comes after it, and wins
        isolation_level="read_committed",
    )
    await consumer.start()
    try:
        places = [TopicPartition(topic, n) for n in range(partitions)]
        async with asyncio.timeout(seconds):
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            while await _unread(consumer, ends):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        yield record
    except TimeoutError:
        raise NotReadable(f"{topic} could not be read to its end within {seconds:g} s") from None
    finally:
        await consumer.stop()


async def _unread(consumer: Any, ends: dict[TopicPartition, int]) -> Sequence[TopicPartition]:
    """The partitions with records, or the marks of transactions, before their end."""
    return [partition for partition, end in ends.items() if await consumer.position(partition) < end]


def _fingerprint(record: Any) -> int:
    """Of key, value, timestamp and headers, without what a dead letter adds; the same within this process only."""
    kept = tuple((name, value) for name, value in record.headers if not name.startswith(_ADDED))
    return hash((record.key, record.value, record.timestamp, kept))
