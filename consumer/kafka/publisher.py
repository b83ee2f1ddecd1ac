"""The producing side: a lane's outputs and its offset."""

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from consumer.errors import ConfigError, Fenced, RetryLater
from consumer.kafka.clients import closed, started
from consumer.kafka.source import Source
from consumer.stream.record import Output, Partition
from schemas.connection import KafkaConnection
from schemas.topics import murmur2_partition

LINGER_MS = 5
MAX_REQUEST_BYTES = 64 * 1024 * 1024
"""Before compression. The broker decides what is too large, after it."""
CONCURRENT_SENDS = 512
"""Sends of one commit that wait for their acknowledgement at once; the producer's own buffer bounds the bytes."""


class Commit(StrEnum):
    """How a commit ended."""

    COMMITTED = "committed"
    NOT_COMMITTED = "not_committed"
    """Send the same outputs again."""
    UNKNOWN = "unknown"
    FENCED = "fenced"
    """Another member owns the partition: close the lane."""


class Publisher(Protocol):
    """Writes a lane's outputs and its offset, in the way its delivery mode promises."""

    async def start(self) -> None:
        """Raises ConfigError when no broker can be used."""

    async def stop(self) -> None:
        """Bounded; safe to call twice."""

    async def commit(self, lane: Partition, outputs: Sequence[Output], offset: int) -> tuple[Commit, str]:
        """Publish and commit; the outcome, and the error's text. ConfigError when it would hit every record."""


class AtLeastOncePublisher:
    """Outputs first, then the offset: a crash between the two repeats outputs, and loses none."""

    def __init__(self, connection: KafkaConnection, source: Source) -> None:
        self._source = source
        self._connection, self._timeout = connection, connection.request_timeout_seconds
        self._options = connection.client_options() | {
            "acks": "all",
            "enable_idempotence": True,
            "linger_ms": LINGER_MS,
            "compression_type": "zstd",  # so that a dead letter is no larger than its record was on the way in
            "max_request_size": MAX_REQUEST_BYTES,
        }
        self._producer: Any = None

    async def start(self) -> None:
        """Raises ConfigError when no broker can be used."""
        self._producer = AIOKafkaProducer(**self._options)
        await started(self._producer, self._connection)

    async def stop(self) -> None:
        """Bounded; safe to call twice."""
        producer, self._producer = self._producer, None
        if producer is not None:  # what it still holds was never acknowledged, and so its offset never committed
            await closed(producer.stop())

    async def commit(self, lane: Partition, outputs: Sequence[Output], offset: int) -> tuple[Commit, str]:
        """Publish and commit; the outcome, and the error's text. ConfigError when it would hit every record."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._send(outputs)
        except KafkaError as error:
            if not error.retriable:  # it would be refused for ever, and the producer's sequence is broken
                raise ConfigError(f"outputs are refused: {error!r}; see `review-consumer topics check`") from None
            return Commit.NOT_COMMITTED, f"{type(error).__name__}: {error}"
        except TimeoutError as error:
            return Commit.NOT_COMMITTED, f"{type(error).__name__}: {error}"
        try:
            await self._source.commit(lane, offset)
        except Fenced as error:
            return Commit.FENCED, str(error)
        except RetryLater as error:
            return Commit.UNKNOWN, str(error)
        return Commit.COMMITTED, ""

    async def _send(self, outputs: Sequence[Output]) -> None:
        for start in range(0, len(outputs), CONCURRENT_SENDS):
            sent = [await self._enqueue(output) for output in outputs[start : start + CONCURRENT_SENDS]]
            for outcome in await asyncio.gather(*sent, return_exceptions=True):  # each future has its own fate
                if isinstance(outcome, BaseException):
                    raise outcome

    async def _enqueue(self, output: Output) -> Any:
        return await self._producer.send(
            output.topic,
            key=output.key,
            value=output.value,
            partition=await self._partition(output),
            headers=list(output.headers),
            timestamp_ms=output.timestamp,
        )

    async def _partition(self, output: Output) -> int | None:
        if not isinstance(output.place, bytes):
            return output.place
        return murmur2_partition(output.place, len(await self._producer.partitions_for(output.topic)))
