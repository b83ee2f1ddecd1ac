"""Reading a lane's changelog: its state at the start, its newest mark when a commit's outcome is unknown."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from consumer.errors import ConfigError, RetryLater
from consumer.kafka.clients import NOT_ALLOWED, client_options, closed, missing_acl, started_or_later
from consumer.kafka.topic_reader import read_to
from consumer.stream.changelog import LANE_KEY, Entry
from consumer.stream.place import LaneMark, read_mark
from consumer.stream.record import Partition
from schemas.connection import KafkaConnection
from schemas.topics import state_topic

CONCURRENT_READS = 4
"""Lanes that restore at once: each holds a connection and a fetched megabyte."""

Progress = Callable[[Sequence[Entry], int, int], None]
"""(records in order, offset after them, the end)."""


class Discontinued(Exception):  # noqa: N818 - the state it tells of
    """The changelog does not go on from the position asked for: it was made anew, or records of it were deleted."""


class Changelog:
    """Reads what is committed, and nothing else. Every call is bounded."""

    def __init__(self, connection: KafkaConnection, group_id: str) -> None:
        self._connection, self._group_id = connection, group_id
        self._permits = asyncio.Semaphore(CONCURRENT_READS)

    async def read(self, lane: Partition, position: int, take: Progress) -> None:
        """Hand over every record from `position` to the end. Raises Discontinued, RetryLater, ConfigError."""
        place = TopicPartition(state_topic(self._group_id, lane.topic), lane.partition)
        async with self._permits, self._consumer(place) as consumer:
            end, begin = await self._bounds(consumer, place, position)
            async for found, at in read_to(consumer, place, begin, end):
                take([(record.key, record.value) for record in found], at, end)

    async def newest_mark(self, lane: Partition, position: int) -> LaneMark | None:
        """The last mark at or after `position`; None where there is none. Raises as `read`."""
        found: list[LaneMark] = []

        def take(records: Sequence[Entry], _at: int, _end: int) -> None:
            found.extend(read_mark(value) for key, value in records if key == LANE_KEY)

        await self.read(lane, position, take)
        return found[-1] if found else None

    async def _bounds(self, consumer: Any, place: TopicPartition, position: int) -> tuple[int, int]:
        """(end, where to begin)."""
        end = (await consumer.end_offsets([place]))[place]
        if position > end:
            raise Discontinued(f"{place.topic}/{place.partition} ends at {end}, not at {position}")
        beginning = (await consumer.beginning_offsets([place]))[place]
        if 0 < position < beginning:
            raise Discontinued(f"{place.topic}/{place.partition} begins at {beginning}, behind {position}")
        return end, max(position, beginning)

    @asynccontextmanager
    async def _consumer(self, place: TopicPartition) -> AsyncIterator[Any]:
        consumer = AIOKafkaConsumer(
            **client_options(self._connection),
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
        )
        try:
            await started_or_later(consumer, self._connection)
            consumer.assign([place])
            yield consumer
        except NOT_ALLOWED as error:
            raise ConfigError(missing_acl(error)) from None
        except (KafkaError, TimeoutError, OSError) as error:
            raise RetryLater(f"the changelog {place.topic}/{place.partition}: {error!r}") from None
        finally:
            await closed(consumer.stop())
