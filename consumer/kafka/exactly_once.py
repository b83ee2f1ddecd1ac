"""One transaction a commit: outputs, the state's changelog and the input's offset become visible together, or never.

Each input partition has a transactional producer of its own, `transactional.id = {group}.{topic}.{partition}`: aiokafka
cannot tell the broker which member of the group it is (KIP-447), so the id is what fences a former owner.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced

from consumer.errors import ConfigError, Fenced, RetryLater
from consumer.kafka.changelog import Changelog
from consumer.kafka.clients import closed, started, started_or_later
from consumer.kafka.publisher import Commit, Destination, Outcome, Write
from consumer.kafka.sending import BATCH_BYTES, EVERYTHING, SMALLER, Refused, Sender, producer_options, stopping
from consumer.stream.place import has_committed
from consumer.stream.record import Output, Partition
from schemas.connection import KafkaConnection
from schemas.topics import state_topic

TRANSACTION_TIMEOUT_SECONDS = 10.0
"""After which the coordinator aborts; until then an owner that died hides what others wrote to shared partitions."""
COMMIT_SECONDS = 8.0
"""Of one transaction: below the coordinator's limit, whose abort would look like being fenced."""
PROBE_OUTPUTS = 200
"""Sent one by one in one transaction, to find those that are refused."""
DROP_SECONDS = 2.0
"""For a producer that is replaced to end: what it still holds is aborted by the next one."""


def transactional_id(group_id: str, lane: Partition) -> str:
    """The id that all owners of a lane share."""
    return f"{group_id}.{lane.topic}.{lane.partition}"


async def fence(connection: KafkaConnection, group_id: str, lane: Partition) -> None:
    """End a former owner's open transaction, and keep it from making another."""
    producer = await _started(connection, group_id, lane)
    await closed(producer.stop())


class Generations(Protocol):
    """Who may say whether a lane is ours still: a member's `Source`."""

    async def confirm(self, generation: int) -> None:
        """Raises Fenced where the lane is another's, RetryLater where nobody can tell now."""


class ExactlyOncePublishers:
    """Makes a publisher for each lane; they share nothing but settings."""

    def __init__(self, to: Destination, source: Generations, changelog: Changelog) -> None:
        self._to = to
        self._shared = to, source, changelog

    async def start(self) -> None:
        """See that publishing is allowed. Raises ConfigError when no broker can be used, or a topic is missing."""
        producer = AIOKafkaProducer(**producer_options(self._to.connection), enable_idempotence=True)
        await started(producer, self._to.connection)
        try:
            await Sender(producer, self._to.topics).look_up()
        except RetryLater as error:
            raise ConfigError(str(error)) from None
        finally:
            await closed(producer.stop())

    async def stop(self) -> None:
        """Nothing is shared."""

    def publisher(self, lane: Partition, generation: int) -> "ExactlyOncePublisher":
        """One for a lane that was assigned in this generation of the group; not open yet."""
        return ExactlyOncePublisher(*self._shared, lane, generation)


class ExactlyOncePublisher:
    """Writes for one lane, through one producer at a time."""

    largest: int | None = None

    def __init__(
        self, to: Destination, source: Generations, changelog: Changelog, lane: Partition, generation: int
    ) -> None:
        self._to, self._source, self._changelog = to, source, changelog
        self._lane, self._generation = lane, generation
        self._state_topic = state_topic(to.group_id, lane.topic)
        self._batch_bytes = BATCH_BYTES
        self._producer: Any = None
        self._sender: Sender | None = None
        self._in_doubt: int | None = None
        """Sequence of the commit whose outcome is unknown."""

    async def open(self) -> None:
        """Fence former owners: their open transaction ends here, and they cannot make another.

        Raises RetryLater, Fenced where the partition is another member's by now, ConfigError.
        """
        await self._ready()

    async def close(self) -> None:
        """Bounded; safe to call twice. An open transaction is aborted by the next owner, or by its time-out."""
        producer, self._producer, self._sender = self._producer, None, None
        if producer is not None:
            await closed(producer.stop(), DROP_SECONDS)
            await closed(producer.client.close(), DROP_SECONDS)  # where the stop was cut short

    async def commit(self, write: Write) -> Outcome:
        """Write all of it, or find out what became of it; bounded. ConfigError when it would hit every record."""
        try:
            sender = await self._ready()
            if self._in_doubt is not None and await self._is_there(write):
                return Outcome(Commit.COMMITTED, "found in the changelog", position=write.since)
        except Fenced as error:
            return Outcome(Commit.FENCED, str(error))
        except RetryLater as error:
            return Outcome(Commit.NOT_COMMITTED if self._in_doubt is None else Commit.UNKNOWN, str(error))
        return await self._transact(sender, write)

    async def _ready(self) -> Sender:
        """A sender whose producer is in order.

        A new producer takes the id from whoever has it. So only a member whose generation the coordinator has just
        accepted may make one: a former owner would fence the true one. Raises RetryLater, Fenced, ConfigError.
        """
        if self._sender is None:
            await self._source.confirm(self._generation)
            self._producer = await _started(self._to.connection, self._to.group_id, self._lane)
            sender = Sender(self._producer, self._to.topics, self._batch_bytes)
            try:
                await sender.look_up()
            except BaseException:
                await self.close()
                raise
            self._sender = sender
        return self._sender

    async def _is_there(self, write: Write) -> bool:
        """Whether the commit in doubt was made. Raises Fenced where another owner has committed since."""
        mark = await self._changelog.newest_mark(self._lane, write.since)
        found = has_committed(mark, write.sequence)
        if found is None:
            raise Fenced(f"the changelog has commit {mark and mark.sequence}, ours would be {write.sequence}")
        self._in_doubt = None
        return found

    async def _transact(self, sender: Sender, write: Write) -> Outcome:
        self._in_doubt = write.sequence
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                position = await self._transaction(sender, write)
        except Refused as error:
            self._in_doubt = None  # the offsets were never sent, so nothing of it counts
            return await self._refused(write, str(error))
        except ProducerFenced:
            return Outcome(Commit.FENCED, "another producer has the lane's transactional id, or ours took too long")
        except EVERYTHING as error:
            raise stopping(error) from None
        except (KafkaError, TimeoutError, AssertionError) as error:  # aiokafka's states are assertions
            await self.close()
            return Outcome(Commit.UNKNOWN, f"{type(error).__name__}: {error}")
        self._in_doubt = None
        return Outcome(Commit.COMMITTED, position=position)

    async def _transaction(self, sender: Sender, write: Write) -> int:
        """Begin, send, commit; where this commit begins in the changelog.

        Every send is acknowledged before the offset goes: a failed one does not fail the transaction.
        """
        await self._producer.begin_transaction()
        place = self._lane.partition
        entries = [Output(self._state_topic, key, value, place) for key, value in write.entries]
        first = await sender.send([*write.outputs, *entries])
        offsets = {TopicPartition(*self._lane): write.offset}
        await self._producer.send_offsets_to_transaction(offsets, self._to.group_id)
        await self._producer.commit_transaction()
        return first[TopicPartition(self._state_topic, place)]

    async def _refused(self, write: Write, detail: str) -> Outcome:
        try:
            refused = await self._find_refused(write.outputs)
        except ProducerFenced:
            return Outcome(Commit.FENCED, detail)
        except Fenced as error:
            return Outcome(Commit.FENCED, str(error))
        except (KafkaError, TimeoutError, RetryLater, AssertionError) as error:
            return Outcome(Commit.NOT_COMMITTED, f"{type(error).__name__}: {error}")
        finally:
            await self.close()
        if refused:
            return Outcome(Commit.REFUSED, detail, refused=tuple(refused))
        self._batch_bytes //= SMALLER
        return Outcome(Commit.NOT_COMMITTED, detail)

    async def _find_refused(self, outputs: Sequence[Output]) -> list[int]:
        """Indexes of those that Kafka does not take, sent one by one in transactions that are never committed."""
        refused: list[int] = []
        sender: Sender | None = None
        for index, output in enumerate(outputs):
            if index % PROBE_OUTPUTS == 0 or sender is None:
                sender = await self._begun_anew()
            try:
                async with asyncio.timeout(COMMIT_SECONDS):
                    await sender.send([output])
            except Refused:
                refused.append(index)
                sender = None  # a refusal leaves the producer's sequence numbers wrong
        return refused

    async def _begun_anew(self) -> Sender:
        await self.close()
        sender = await self._ready()
        await self._producer.begin_transaction()
        return sender


async def _started(connection: KafkaConnection, group_id: str, lane: Partition) -> Any:
    """A producer that has the lane's id, every former one's transaction ended. Raises RetryLater, ConfigError."""
    producer = AIOKafkaProducer(
        **producer_options(connection),
        transactional_id=transactional_id(group_id, lane),
        transaction_timeout_ms=int(TRANSACTION_TIMEOUT_SECONDS * 1000),
    )
    await started_or_later(producer, connection)
    return producer
