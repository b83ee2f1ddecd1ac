"""A topic read from outside, from its beginning to the end that it has now: no membership, nothing is changed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from consumer.errors import ConfigError, RetryLater
from consumer.kafka.clients import NOT_ALLOWED, client_options, closed, missing_acl, started
from consumer.kafka.header_names import read_any_header_name
from consumer.stream.record import Record
from schemas.connection import KafkaConnection

POLL_MS = 200
POLL_RECORDS = 2000
STALLED_SECONDS = 60.0
"""Without a record and short of the end."""


async def read_to(
    consumer: Any, place: TopicPartition, begin: int, end: int
) -> AsyncIterator[tuple[Sequence[Any], int]]:
    """Poll an assigned partition from `begin` until its position is `end`: some records, and the position after them.

    The last offsets may be transactions' markers, never records: the position tells that the end is reached, and the
    last records may lie beyond it. Raises RetryLater where it stands still.
    """
    consumer.seek(place, begin)
    at, waited = begin, 0.0
    while at < end:
        polled = await consumer.getmany(place, timeout_ms=POLL_MS, max_records=POLL_RECORDS)
        before, at = at, await consumer.position(place)
        yield polled.get(place, ()), at
        waited = 0.0 if at > before else waited + POLL_MS / 1000
        if waited >= STALLED_SECONDS:
            raise RetryLater(f"{place.topic}/{place.partition} stands at {at} of {end}")


class TopicReader:
    """All partitions of a topic, in bounded memory. Raises ConfigError, or RetryLater where a retry may help."""

    def __init__(self, consumer: Any, topic: str, ends: dict[TopicPartition, int], first: dict[Any, int]) -> None:
        self._consumer, self._topic, self._ends, self._first = consumer, topic, ends, first

    @property
    def partitions(self) -> int:
        """How many there are."""
        return len(self._ends)

    @property
    def size(self) -> int:
        """Offsets between beginning and end, transactions' markers counted."""
        return sum(end - self._first[place] for place, end in self._ends.items())

    async def read(self) -> AsyncIterator[tuple[Sequence[Record], int]]:
        """What it holds, partition by partition in offset order: some records, and how many offsets that were."""
        for place, end in self._ends.items():
            self._consumer.assign([place])
            before = self._first[place]
            async for records, at in read_to(self._consumer, place, before, end):
                yield [record for record in records if record.offset < end], min(at, end) - before
                before = at

    async def one(self, partition: int, offset: int) -> Record | None:
        """The record at an offset; None where there is none."""
        place = TopicPartition(self._topic, partition)
        if not self._first.get(place, 0) <= offset < self._ends.get(place, 0):
            return None
        self._consumer.assign([place])
        self._consumer.seek(place, offset)
        waited = 0.0
        while waited < STALLED_SECONDS:
            polled = await self._consumer.getmany(place, timeout_ms=POLL_MS, max_records=1)
            if records := polled.get(place):
                found: Record = records[0]
                return found if found.offset == offset else None
            if await self._consumer.position(place) > offset:
                return None
            waited += POLL_MS / 1000
        raise RetryLater(f"{place.topic}/{partition} gives nothing at {offset}")


@asynccontextmanager
async def opened(connection: KafkaConnection, topic: str) -> AsyncIterator[TopicReader]:
    """Hold a reader of a topic. Raises ConfigError where there is no such topic, RetryLater."""
    read_any_header_name()
    consumer = AIOKafkaConsumer(
        **client_options(connection),
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    )
    await started(consumer, connection)
    try:
        async with asyncio.timeout(connection.request_timeout_seconds):
            places = await _places(consumer, topic)
            ends, first = await consumer.end_offsets(places), await consumer.beginning_offsets(places)
        yield TopicReader(consumer, topic, ends, first)
    except NOT_ALLOWED as error:
        raise ConfigError(missing_acl(error)) from None
    except (KafkaError, TimeoutError, OSError) as error:
        raise RetryLater(f"{topic} cannot be read now: {error!r}") from None
    finally:
        await closed(consumer.stop())


async def _places(consumer: Any, topic: str) -> list[TopicPartition]:
    """Looked up among all topics, so that asking creates none."""
    cluster = await consumer._client.fetch_all_metadata()  # noqa: SLF001 - the public call gives names only
    if topic not in cluster.topics():
        raise ConfigError(f"no such topic: {topic} (or no ACL lets this user describe it)")
    return [TopicPartition(topic, number) for number in sorted(cluster.partitions_for_topic(topic))]
