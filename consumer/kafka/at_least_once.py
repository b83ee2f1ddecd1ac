"""Outputs first, then the state's changelog, then the offset: a crash in between repeats outputs, and loses none.

A lane without state writes no changelog.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from consumer.errors import Fenced, RetryLater
from consumer.kafka.clients import closed, started, started_or_later
from consumer.kafka.exactly_once import fence
from consumer.kafka.publisher import Commit, Destination, Outcome, Write
from consumer.kafka.sending import BATCH_BYTES, EVERYTHING, SMALLER, Refused, Sender, producer_options, stopping
from consumer.kafka.source import Source
from consumer.stream.record import Output, Partition
from schemas.connection import KafkaConnection
from schemas.topics import state_topic

CHANGELOG_BYTES = BATCH_BYTES - 100_000
"""Of one commit's state changes: one record batch, so that they are written all or none."""


class AtLeastOncePublishers:
    """One idempotent producer for all lanes."""

    def __init__(self, to: Destination, source: Source, stateless: frozenset[str] = frozenset()) -> None:
        """`stateless`: the input topics whose lanes have no state."""
        self._to, self.source, self.stateless = to, source, stateless
        self.group_id, self.timeout = to.group_id, to.connection.request_timeout_seconds
        self._producer: Any = None
        self._sender: Sender | None = None
        self._batch_bytes = BATCH_BYTES
        self._renewing = asyncio.Lock()

    async def start(self) -> None:
        """Raises ConfigError when no broker can be used, or a topic is missing."""
        await self._connect(started)

    async def stop(self) -> None:
        """Bounded; safe to call twice."""
        producer, self._producer, self._sender = self._producer, None, None
        if producer is not None:  # what it still holds was never acknowledged, and so its offset never committed
            await closed(producer.stop())

    def publisher(self, lane: Partition, generation: int) -> "AtLeastOncePublisher":
        """One for a lane; they all send through the one producer."""
        return AtLeastOncePublisher(self, lane, generation)

    async def sender(self) -> Sender:
        """The producer's sender; a new one after `renew`. Raises RetryLater, ConfigError."""
        return self._sender or await self._connect(started_or_later)

    async def _connect(self, start: Callable[[Any, KafkaConnection], Awaitable[None]]) -> Sender:
        async with self._renewing:
            if self._sender is None:
                producer = AIOKafkaProducer(**producer_options(self._to.connection), enable_idempotence=True)
                await start(producer, self._to.connection)
                sender = Sender(producer, self._to.topics, self._batch_bytes)
                try:
                    await sender.look_up()
                except BaseException:
                    await closed(producer.stop())
                    raise
                self._producer, self._sender = producer, sender
            return self._sender

    async def renew(self, broken: Sender) -> None:
        """Take a new producer: after a refusal the old one's sequence numbers are wrong."""
        if self._sender is broken:
            await self.stop()

    def smaller_batches(self) -> None:
        """A topic takes each record and not all in one batch: its limit is smaller than ours."""
        self._batch_bytes //= SMALLER

    async def fence(self, lane: Partition) -> None:
        """Keep an owner of the time of exactly_once from committing."""
        await fence(self._to.connection, self.group_id, lane)


class AtLeastOncePublisher:
    """Writes for one lane."""

    largest: int | None = CHANGELOG_BYTES

    def __init__(self, shared: AtLeastOncePublishers, lane: Partition, generation: int) -> None:
        self._shared, self._lane, self._generation = shared, lane, generation
        self._state_topic = state_topic(shared.group_id, lane.topic)
        self._offset = -1
        """The last that was committed here."""

    async def open(self) -> None:
        """Keep a former owner, of the time of exactly_once, from committing. Raises RetryLater, Fenced, ConfigError."""
        if self._lane.topic not in self._shared.stateless:  # such a lane never had another way of delivery
            await self._shared.source.confirm(self._generation)
            await self._shared.fence(self._lane)

    async def close(self) -> None:
        """Nothing is this lane's alone."""

    async def commit(self, write: Write) -> Outcome:
        """Write all of it; bounded. ConfigError when it would hit every record."""
        try:
            sender = await self._shared.sender()
        except RetryLater as error:
            return Outcome(Commit.NOT_COMMITTED, str(error))
        try:
            async with asyncio.timeout(self._shared.timeout):
                position = await self._send(sender, write)
        except Refused as error:
            return await self._refused(sender, write, str(error))
        except EVERYTHING as error:
            raise stopping(error) from None
        except (KafkaError, TimeoutError) as error:
            if isinstance(error, KafkaError) and not error.retriable:  # the producer will not recover from it
                await self._shared.renew(sender)
            return Outcome(Commit.NOT_COMMITTED, f"{type(error).__name__}: {error}")
        return await self._commit_offset(write, position)

    async def _send(self, sender: Sender, write: Write) -> int:
        """The outputs, and then the changelog in one batch; where that begins."""
        await sender.send(write.outputs)
        if not write.entries:
            return write.since
        place = self._lane.partition
        entries = [Output(self._state_topic, key, value, place) for key, value in write.entries]
        (position,) = (await sender.send(entries)).values()
        return position

    async def _commit_offset(self, write: Write, position: int) -> Outcome:
        """Unless it has not moved: a lane without state publishes what is ready before its first record is done."""
        try:
            if write.entries or write.offset != self._offset:
                await self._shared.source.commit(self._lane, write.offset)
                self._offset = write.offset
        except Fenced as error:
            return Outcome(Commit.FENCED, str(error))
        except RetryLater as error:
            return Outcome(Commit.UNKNOWN, str(error))
        return Outcome(Commit.COMMITTED, position=position)

    async def _refused(self, sender: Sender, write: Write, detail: str) -> Outcome:
        """Send one by one, with a new producer after each refusal; what was written already is written again."""
        await self._shared.renew(sender)
        refused: list[int] = []
        try:
            for index, output in enumerate(write.outputs):
                sender = await self._shared.sender()
                try:
                    async with asyncio.timeout(self._shared.timeout):
                        await sender.send([output])
                except Refused:
                    refused.append(index)
                    await self._shared.renew(sender)
        except (KafkaError, TimeoutError, RetryLater) as error:
            return Outcome(Commit.NOT_COMMITTED, f"{type(error).__name__}: {error}")
        if refused:
            return Outcome(Commit.REFUSED, detail, refused=tuple(refused))
        self._shared.smaller_batches()
        return Outcome(Commit.NOT_COMMITTED, detail)
