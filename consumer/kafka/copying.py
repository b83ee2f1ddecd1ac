"""Copies one topic into others exactly once: what its records become, and its offset, share a transaction."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RecordListTooLargeError,
)

from consumer.errors import ConfigError, Fenced, RetryLater
from consumer.kafka.clients import NOT_ALLOWED, client_options, closed, missing_acl, started
from consumer.kafka.header_names import read_any_header_name
from consumer.kafka.offset_errors import heed_offset_errors
from consumer.stream.record import Output, Record
from schemas.connection import KafkaConnection
from schemas.topics import murmur2_partition

MAX_RECORDS = 1_000
"""Of one transaction."""
MAX_FETCH_BYTES = 1024 * 1024
MAX_REQUEST_BYTES = 64 * 1024 * 1024
"""Before compression. The broker decides what is too large, after it."""
TRANSACTION_SECONDS = 10.0
"""So long a copier that was killed hides the records that others write to the same partitions after it."""
ABORT_SECONDS = 5.0
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


@dataclass(frozen=True, slots=True)
class Route:
    """From where to where; `group_id` holds the offsets, and its name begins the transactional id."""

    source: str
    targets: tuple[str, ...]
    group_id: str
    writer: str = ""
    """Whose offsets may lie in several groups; empty: the group's."""

    @property
    def transactional_id(self) -> str:
        """One a source topic: a second copier of the same topic fences the first."""
        return f"{self.writer or self.group_id}.{self.source}"


class ExactCopy:
    """One copier of all partitions of a topic. `dry`: reads, and never writes. Every call is bounded.

    The producer is started before the offsets are read: that ends the transaction of an earlier copier, so that none of
    its offsets can appear afterwards. After a failure the same is done again, which answers what became of the
    transaction that failed.
    """

    def __init__(self, connection: KafkaConnection, route: Route, *, dry: bool = False) -> None:
        self._connection, self._route, self._dry = connection, route, dry
        self._seconds = connection.request_timeout_seconds
        self._consumer: Any = None
        self._producer: Any = None
        self._ends: dict[TopicPartition, int] = {}
        self.partitions: Mapping[str, int] = {}
        """Partition counts of the source and the targets."""
        self.deleted = 0
        """Records that retention took before they were copied."""

    async def start(self) -> None:
        """Connect, and stand at the committed offsets. Raises ConfigError, or RetryLater where a retry may help."""
        read_any_header_name()
        heed_offset_errors()
        self._consumer = AIOKafkaConsumer(**self._reading())
        await started(self._consumer, self._connection)
        self.partitions = await self._bounded(self._counts())
        tps = [TopicPartition(self._route.source, n) for n in range(self.partitions[self._route.source])]
        self._consumer.assign(tps)
        self._ends = await self._bounded(self._consumer.end_offsets(tps))
        await self.start_over()

    async def stop(self) -> None:
        """Disconnect; safe to call twice, and after a failed start."""
        consumer, self._consumer = self._consumer, None
        await self._drop_producer()
        if consumer is not None:
            await closed(consumer.stop())

    async def start_over(self) -> None:
        """Take the transactional id, and stand at the committed offsets again: after RetryLater."""
        await self._drop_producer()
        if not self._dry:
            self._producer = AIOKafkaProducer(**self._writing())
            await started(self._producer, self._connection)
        first = await self._bounded(self._consumer.beginning_offsets(list(self._ends)))
        self.deleted = 0
        for tp in self._ends:
            committed = await self._bounded(self._consumer.committed(tp))
            self._consumer.seek(tp, first[tp] if committed is None else committed)
            self.deleted += max(0, first[tp] - committed) if committed is not None else 0

    async def remaining(self) -> int:
        """Offsets between where it stands and the end that it saw at its start."""
        positions = {tp: await self._bounded(self._consumer.position(tp)) for tp in self._ends}
        return sum(max(0, end - positions[tp]) for tp, end in self._ends.items())

    async def is_past(self, record: Record) -> bool:
        """Whether it stands behind a record: after `start_over`, whether its transaction was committed."""
        tp = TopicPartition(record.topic, record.partition)
        return bool(await self._bounded(self._consumer.position(tp)) > record.offset)

    async def poll(self, seconds: float) -> list[Record]:
        """The next records, partition by partition in offset order. Must not be cancelled."""
        try:
            polled = await self._consumer.getmany(timeout_ms=int(seconds * 1000), max_records=MAX_RECORDS)
        except NOT_ALLOWED as error:
            raise ConfigError(missing_acl(error)) from None
        except KafkaError as error:
            raise RetryLater(f"{type(error).__name__}: {error}") from None
        return [record for records in polled.values() for record in records]

    async def write(self, outputs: Sequence[Output], records: Sequence[Record]) -> None:
        """Publish the outputs and commit the records' offsets, both or neither.

        Raises Fenced (another copier of this topic runs), ConfigError, or RetryLater: then `start_over`, as the outcome
        may be unknown.
        """
        try:
            async with asyncio.timeout(min(self._seconds, TRANSACTION_SECONDS)):
                await self._transaction(outputs, _offsets(records))
        except (KafkaError, TimeoutError, AssertionError) as error:  # aiokafka's states are asserts
            if isinstance(error, ProducerFenced) or _is_fenced(self._producer):
                raise Fenced(f"another copier of {self._route.source} has taken over") from None
            await self._abort()
            raise self._translated(error, records) from None

    async def _transaction(self, outputs: Sequence[Output], offsets: dict[TopicPartition, int]) -> None:
        await self._producer.begin_transaction()
        sent = [await self._send(output) for output in outputs]
        # a failed send does not fail its transaction: each one's own outcome is looked at before the offsets go
        outcomes = await asyncio.gather(*sent, return_exceptions=True)
        errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if errors:  # one that is too large fails its neighbours too, with errors that tell nothing
            raise next((error for error in errors if isinstance(error, _TOO_LARGE)), errors[0])
        await self._producer.send_offsets_to_transaction(offsets, self._route.group_id)
        await self._producer.commit_transaction()

    async def _send(self, output: Output) -> Any:
        place, headers = output.place, list(output.headers)
        partition = murmur2_partition(place, self.partitions[output.topic]) if isinstance(place, bytes) else place
        if output.key is None and output.value is None:  # which `send` takes for a mistake
            batch = self._producer.create_batch()
            batch.append(timestamp=output.timestamp, key=None, value=None, headers=headers)
            return await self._producer.send_batch(batch, output.topic, partition=partition or 0)
        return await self._producer.send(
            output.topic,
            key=output.key,
            value=output.value,
            partition=partition,
            headers=headers,
            timestamp_ms=output.timestamp,
        )

    async def _abort(self) -> None:
        """Give others' readers their records back at once; where that fails, the transaction times out."""
        with suppress(KafkaError, TimeoutError, AssertionError):
            async with asyncio.timeout(ABORT_SECONDS):
                await self._producer.abort_transaction()

    async def _drop_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await closed(producer.stop())

    def _translated(self, error: BaseException, records: Sequence[Record]) -> Exception:
        if isinstance(error, NOT_ALLOWED):
            return ConfigError(missing_acl(error))
        if isinstance(error, _TOO_LARGE):
            largest = max(records, key=lambda record: len(record.value or b""))
            place = f"{largest.topic}/{largest.partition}/{largest.offset}"
            return ConfigError(
                f"{' or '.join(self._route.targets)} refuses a record as too large: the largest of this transaction is "
                f"{place} with {len(largest.value or b'')} bytes; raise max.message.bytes there, and run it again"
            )
        return RetryLater(f"{type(error).__name__}: {error}")

    async def _counts(self) -> dict[str, int]:
        """Partition counts, looked up among all topics, so that asking creates none."""
        cluster = await self._consumer._client.fetch_all_metadata()  # noqa: SLF001 - the public call gives names only
        names = (self._route.source, *self._route.targets)
        if missing := [name for name in names if name not in cluster.topics()]:
            raise ConfigError(f"no such topic: {', '.join(missing)} (or no ACL lets this user describe it)")
        return {name: len(cluster.partitions_for_topic(name)) for name in names}

    async def _bounded(self, call: Any) -> Any:
        try:
            async with asyncio.timeout(self._seconds):
                return await call
        except NOT_ALLOWED as error:
            raise ConfigError(missing_acl(error)) from None
        except (KafkaError, TimeoutError) as error:
            raise RetryLater(f"{type(error).__name__}: {error}") from None

    def _reading(self) -> dict[str, Any]:
        return client_options(self._connection) | {
            "group_id": self._route.group_id,
            "client_id": self._route.group_id,
            "auto_offset_reset": "earliest",
            "enable_auto_commit": False,
            "isolation_level": "read_committed",
            "max_partition_fetch_bytes": MAX_FETCH_BYTES,
        }

    def _writing(self) -> dict[str, Any]:
        return client_options(self._connection) | {
            "client_id": self._route.group_id,
            "transactional_id": self._route.transactional_id,
            "transaction_timeout_ms": int(TRANSACTION_SECONDS * 1000),
            "compression_type": "zstd",  # so that a copy is no larger than its record was on the way in
            "max_request_size": MAX_REQUEST_BYTES,
        }


def _offsets(records: Sequence[Record]) -> dict[TopicPartition, int]:
    return {TopicPartition(record.topic, record.partition): record.offset + 1 for record in records}


def _is_fenced(producer: Any) -> bool:
    """Whether the producer's sender ended by being fenced: calls after that fail with asserts, which do not say so."""
    sender = producer._sender.sender_task  # noqa: SLF001 - nothing public tells
    return bool(sender and sender.done() and not sender.cancelled() and isinstance(sender.exception(), ProducerFenced))
