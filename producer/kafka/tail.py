"""Reads topics as a bystander: no group, no offsets committed, nobody's share taken."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from producer.errors import CannotGoOn
from producer.kafka.client import STOP_SECONDS, client_options, unreachable
from producer.settings import CONNECT_SECONDS
from schemas.connection import KafkaConnection
from schemas.headers import Headers

MAX_RECORDS = 200
"""Of one poll: what is made of them holds the event loop."""


@dataclass(frozen=True, slots=True)
class Received:
    """One record. `value` is None for a tombstone."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    def header(self, name: str) -> str | None:
        """The last header of that name as text, None where there is none."""
        found = [value for key, value in self.headers if key == name]
        return found[-1].decode("utf-8", "replace") if found and found[-1] is not None else None


Positions = Mapping[tuple[str, int], int]
"""Where reading goes on: (topic, partition) → offset of the next record."""


class Tail:
    """All partitions of some topics, committed records only, from the beginning or from now on.

    `resume` are the positions of an earlier tail; a partition that is not among them is new: read from its beginning.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        topics: Sequence[str],
        *,
        from_beginning: bool,
        resume: Positions | None = None,
    ) -> None:
        self._connection, self._topics, self._from_beginning = connection, topics, from_beginning
        self._resume = resume or {}
        self._consumer: Any = None
        self._starts: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}

    async def start(self) -> None:
        """Connect, and stand at the beginning or the end. Raises CannotGoOn: no broker, or a topic is missing."""
        self._consumer = _consumer(self._connection)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._consumer.start()
                await self._assign()
        except (KafkaError, TimeoutError) as error:
            await self.stop()
            raise await unreachable(self._connection, error) from None
        except CannotGoOn:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Disconnect, bounded; safe to call twice."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await _stopped(consumer)

    async def records(self, seconds: float) -> list[Received]:
        """What has come, or nothing after `seconds`; in order within a partition. Raises CannotGoOn."""
        try:
            polled = await self._consumer.getmany(timeout_ms=int(seconds * 1000), max_records=MAX_RECORDS)
        except (KafkaError, UnicodeDecodeError) as error:  # a header's name that is not UTF-8 is the latter
            raise CannotGoOn(f"{', '.join(self._topics)} cannot be read: {type(error).__name__}: {error}") from None
        return [
            Received(r.topic, r.partition, r.offset, r.key, r.value, tuple(r.headers))
            for batch in polled.values()
            for r in batch
        ]

    async def caught_up(self) -> bool:
        """Whether all has been read that was there at the start."""
        return all([await self._consumer.position(tp) >= end for tp, end in self._ends.items()])

    def positions(self) -> dict[tuple[str, int], int]:
        """Where reading began."""
        return {(tp.topic, tp.partition): offset for tp, offset in self._starts.items()}

    async def grown(self) -> bool:
        """Whether the topics have partitions that are not read. Raises CannotGoOn where no broker answers."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return len(await _partitions(self._consumer, self._topics)) > len(self._ends)
        except (KafkaError, TimeoutError) as error:
            raise await unreachable(self._connection, error) from None

    async def _assign(self) -> None:
        partitions = await _partitions(self._consumer, self._topics)
        self._consumer.assign(partitions)
        self._ends = await self._consumer.end_offsets(partitions)
        early = self._from_beginning or self._resume
        starts = await self._consumer.beginning_offsets(partitions) if early else self._ends
        self._starts = {tp: self._resume.get((tp.topic, tp.partition), offset) for tp, offset in starts.items()}
        for partition, offset in self._starts.items():
            self._consumer.seek(partition, offset)


async def committed_records(connection: KafkaConnection, group_id: str, topic: str) -> int:
    """How many records of a topic the group has finished: its committed offsets, less where each partition begins."""
    consumer = _consumer(connection, group_id)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await consumer.start()
            partitions = await _partitions(consumer, [topic])
            consumer.assign(partitions)
            starts = await consumer.beginning_offsets(partitions)
            offsets = {tp: await consumer.committed(tp) for tp in partitions}
            return sum((offset or starts[tp]) - starts[tp] for tp, offset in offsets.items())
    except (KafkaError, TimeoutError) as error:
        raise await unreachable(connection, error) from None
    finally:
        async with asyncio.timeout(STOP_SECONDS):
            await consumer.stop()


async def _stopped(consumer: Any) -> None:
    """Disconnect, bounded, whatever comes of it: nothing is owed to anybody.

    In a task of its own. With a fetch under way aiokafka cancels that and awaits it without catching anything, so
    `stop` ends in a CancelledError, which in our task would look like our own end; and leaves its connections open.
    """
    stopping = asyncio.ensure_future(consumer.stop())
    stopping.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        await asyncio.wait({stopping}, timeout=STOP_SECONDS)
    finally:
        stopping.cancel()
    if stopping.cancelled():
        await asyncio.wait({asyncio.ensure_future(consumer._client.close())}, timeout=STOP_SECONDS)  # noqa: SLF001


def _consumer(connection: KafkaConnection, group_id: str | None = None) -> Any:
    return AIOKafkaConsumer(
        **client_options(connection),
        group_id=group_id,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )


async def _partitions(consumer: Any, topics: Sequence[str]) -> list[TopicPartition]:
    """Every partition of the topics, looked up among all topics, so that asking creates none."""
    cluster = await consumer._client.fetch_all_metadata()  # noqa: SLF001 - the public call gives names only
    if missing := sorted(set(topics) - cluster.topics()):
        raise CannotGoOn(f"no such topic: {', '.join(missing)}; create it with `review-consumer topics create`")
    return [TopicPartition(topic, n) for topic in topics for n in sorted(cluster.partitions_for_topic(topic))]
