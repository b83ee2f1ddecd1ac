"""Outputs into a producer, in batches of our own, and what became of each."""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from random import randrange
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import (
    CorruptRecordException,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    UnknownError,
    UnknownTopicOrPartitionError,
    for_code,
)

from consumer.errors import ConfigError, RetryLater
from consumer.kafka.clients import NOT_ALLOWED, client_options, missing_acl
from consumer.stream.record import Output
from schemas.connection import KafkaConnection
from schemas.topics import murmur2_partition

log = logging.getLogger(__name__)

BATCH_BYTES = 900_000
"""Of one record batch before compression: below Kafka's own limit of 1 MiB. A larger record gets a batch of its own,
and the broker decides, after compression, whether it is too large."""
SMALLER = 10
"""Divides the size of batches where a topic takes each record, but not the batch."""

_INVALID_TIMESTAMP = 32
REFUSED = (
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    CorruptRecordException,
    for_code(_INVALID_TIMESTAMP),
    UnknownError,
)
"""Something about some of these records: sent one by one they tell which. UnknownError is what a refused record's
batch-mates get, and how aiokafka reads INVALID_RECORD."""
EVERYTHING = (
    *NOT_ALLOWED,
    InvalidTopicError,
    UnknownTopicOrPartitionError,
)
"""What would hit every record."""


def producer_options(connection: KafkaConnection) -> dict[str, Any]:
    """What every producer here is made with."""
    return client_options(connection) | {
        "acks": "all",
        "linger_ms": 0,  # batches are built whole
        "max_batch_size": BATCH_BYTES,
        "compression_type": "zstd",  # so that a dead letter is no larger than its record was on the way in
    }


class Refused(Exception):  # noqa: N818 - the state it tells of
    """Kafka will not take some record of what was sent."""


def stopping(error: KafkaError) -> ConfigError:
    """What a person must change before any record can be published."""
    if isinstance(error, NOT_ALLOWED):
        return ConfigError(missing_acl(error))
    return ConfigError(f"outputs are refused: {type(error).__name__}: {error}; see `review-consumer topics check`")


class Sender:
    """Sends through one producer. Partition counts are looked up once: `look_up` before the first send."""

    def __init__(self, producer: Any, topics: Sequence[str], batch_bytes: int = BATCH_BYTES) -> None:
        self._producer, self._topics, self._batch_bytes = producer, topics, batch_bytes
        self._counts: dict[str, int] = {}

    async def look_up(self) -> None:
        """Find out how many partitions the topics have. Raises ConfigError for one that is not there."""
        for topic in self._topics:
            try:
                self._counts[topic] = len(await self._producer.partitions_for(topic))
            except EVERYTHING as error:
                raise ConfigError(
                    f"topic {topic}: {type(error).__name__}; see `review-consumer topics check`"
                ) from None
            except KafkaError as error:
                raise RetryLater(f"topic {topic} cannot be looked up: {error!r}") from None

    async def send(self, outputs: Sequence[Output]) -> dict[TopicPartition, int]:
        """Send all and wait for each acknowledgement; the lowest offset that was given in each partition.

        The order within a partition is kept. Raises Refused, ConfigError, or KafkaError: some may have been written.
        """
        sent: list[tuple[TopicPartition, Any]] = []
        errors: list[BaseException] = []
        try:
            for place, members in self._by_partition(outputs).items():
                for batch in self._batches(members):
                    future = await self._producer.send_batch(batch, place.topic, partition=place.partition)
                    sent.append((place, future))
        except KafkaError as error:  # those that were sent have futures of their own, each awaited
            errors.append(error)
        outcomes = await asyncio.gather(*(future for _, future in sent), return_exceptions=True)
        _raise_worst([*(outcome for outcome in outcomes if isinstance(outcome, BaseException)), *errors])
        first: dict[TopicPartition, int] = {}
        for (place, _), metadata in zip(sent, outcomes, strict=True):
            first.setdefault(place, metadata.offset)  # type: ignore[union-attr] # no error among them
        return first

    def _by_partition(self, outputs: Sequence[Output]) -> Mapping[TopicPartition, list[Output]]:
        found: dict[TopicPartition, list[Output]] = {}
        for output in outputs:
            found.setdefault(TopicPartition(output.topic, self._partition(output)), []).append(output)
        return found

    def _partition(self, output: Output) -> int:
        if isinstance(output.place, int):
            return output.place
        count = self._counts[output.topic]
        return randrange(count) if output.place is None else murmur2_partition(output.place, count)  # noqa: S311 - to spread them

    def _batches(self, outputs: Sequence[Output]) -> Iterator[Any]:
        builder = self._producer.create_batch()
        for output in outputs:
            full = builder.record_count() and builder.size() >= self._batch_bytes
            if full or not _append(builder, output):
                builder.close()
                yield builder
                builder = self._producer.create_batch()
                _append(builder, output)  # the first record of a batch always fits
        builder.close()
        if builder.record_count():
            yield builder


def _append(builder: Any, output: Output) -> bool:
    return (
        builder.append(timestamp=output.timestamp, key=output.key, value=output.value, headers=list(output.headers))
        is not None
    )


def _raise_worst(errors: Sequence[BaseException]) -> None:
    """A batch-mate of a refused record fails too, with another error: the refusal tells more."""
    for error in errors:
        if isinstance(error, EVERYTHING):
            raise stopping(error)
    for error in errors:
        if isinstance(error, REFUSED):
            raise Refused(f"{type(error).__name__}: {error}")
    if errors:
        raise errors[0]
