"""The consuming side: polling, assignment, pauses, and the committed offsets."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    GroupAuthorizationFailedError,
    IllegalStateError,
    InconsistentGroupProtocolError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
)

from consumer.errors import ConfigError, Fenced, RetryLater
from consumer.kafka.assignor import sticky_assignor
from consumer.kafka.clients import client_options, closed, started
from consumer.kafka.header_names import read_any_header_name
from consumer.kafka.offset_errors import heed_offset_errors
from consumer.stream.record import Partition, Record
from schemas.connection import KafkaConnection

MAX_FETCH_BYTES = 1024 * 1024
FETCH_WAIT_MS = 20
"""For which a broker may hold a fetch that finds nothing. aiokafka has one on its way to each broker at a time: as long
as one for idle partitions is held, the others get nothing, however much there is.
"""
REBALANCE_MARGIN_SECONDS = 15.0
"""What a rebalance needs beside the drain: finding out, leaving, joining."""

LOST = -1
"""The generation of a member that the group does not know any more."""


class Assignment(Protocol):
    """Who works on the partitions."""

    def assigned(self, partitions: Sequence[Partition], generation: int) -> None:
        """Partitions are this member's in this generation of the group, paused. No other task runs meanwhile."""

    async def revoked(self, partitions: Sequence[Partition]) -> None:
        """Partitions are about to be given up: commit what is done, and return in bounded time."""

    async def lost(self, partitions: Sequence[Partition]) -> None:
        """Partitions are others' by now: commit nothing, and return in bounded time."""


@dataclass(frozen=True, slots=True)
class Membership:
    """How a member behaves in its group; seconds."""

    group_id: str
    delivery: str
    session_timeout: float
    drain: float
    instance_id: str | None = None
    """Static membership: a restart within the session time-out takes the same partitions, without a rebalance."""


class Source:
    """One member of the consumer group. Every call but `poll` is bounded by the connection's request time-out."""

    def __init__(
        self, connection: KafkaConnection, membership: Membership, topics: Sequence[str], assignment: Assignment
    ) -> None:
        self._connection, self._timeout = connection, connection.request_timeout_seconds
        self._topics = list(topics)
        self._listener = _Listener(self, assignment)
        self._options = _options(connection, membership)
        self._consumer: Any = None

    async def start(self) -> None:
        """Join the group. Raises ConfigError when no broker answers or the credentials are refused."""
        read_any_header_name()
        heed_offset_errors()
        self._consumer = AIOKafkaConsumer(**self._options)
        await started(self._consumer, self._connection)
        self._consumer.subscribe(self._topics, listener=self._listener)

    async def stop(self) -> None:
        """Leave the group. Drain first: the revocation callback does not run here. Safe to call twice."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:  # where it cannot leave, the session time-out removes it
            await closed(consumer.stop())

    @property
    def stopped(self) -> bool:
        """Whether it is no member, and on no way to be one."""
        return self._consumer is None

    async def poll(self, timeout_seconds: float, most: int) -> Mapping[Partition, Sequence[Record]]:
        """The next records, at most so many, in offset order per partition.

        Must not be cancelled: aiokafka then stops its checks.
        """
        try:
            records = await self._consumer.getmany(timeout_ms=int(timeout_seconds * 1000), max_records=most)
        except (TopicAuthorizationFailedError, GroupAuthorizationFailedError) as error:
            raise ConfigError(f"this member may not read: {error!r}") from None
        except InconsistentGroupProtocolError:
            raise ConfigError(
                f"the group {self._options['group_id']} has members with another DELIVERY: stop those first"
            ) from None
        return {Partition(tp.topic, tp.partition): batch for tp, batch in records.items()}

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Stop fetching from partitions; those that are not ours are left out."""
        self._consumer.pause(*self._ours(partitions))

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Fetch from partitions again; those that are not ours are left out."""
        self._consumer.resume(*self._ours(partitions))

    def paused(self) -> frozenset[Partition]:
        """Partitions of ours that are paused."""
        if self._consumer is None:
            return frozenset()
        return frozenset(Partition(tp.topic, tp.partition) for tp in self._consumer.paused())

    def seek(self, partition: Partition, offset: int) -> None:
        """The next record delivered of `partition` is the first at or after `offset`."""
        self._consumer.seek(_tp(partition), offset)

    async def position(self, partition: Partition) -> int:
        """Offset of the next record to be delivered."""
        offset: int = await self._bounded(self._consumer.position(_tp(partition)))
        return offset

    async def committed(self, partition: Partition) -> int | None:
        """The group's committed offset, None where there is none."""
        offset: int | None = await self._bounded(self._consumer.committed(_tp(partition)))
        return offset

    async def beginning(self, partition: Partition) -> int:
        """The first offset that the topic still holds."""
        offsets: dict[TopicPartition, int] = await self._bounded(self._consumer.beginning_offsets([_tp(partition)]))
        return offsets[_tp(partition)]

    async def ends(self, partitions: Sequence[Partition]) -> Mapping[Partition, tuple[int, int | None]]:
        """Of each partition of ours, where it ends for readers of what is committed, and the position, if there is one.

        One request a broker. Raises RetryLater, Fenced.
        """
        consumer = self._consumer
        if consumer is None or not (ours := self._ours(partitions)):
            return {}
        ends: dict[TopicPartition, int] = await self._bounded(consumer.end_offsets(ours))
        return {Partition(*tp): (end, _position(consumer, tp)) for tp, end in ends.items()}

    @property
    def generation(self) -> int:
        """Of the group, as this member knows it; -1 when it is no member (any more)."""
        return int(self._consumer._coordinator.generation)  # noqa: SLF001 - aiokafka has no public way to ask

    async def confirm(self, generation: int) -> None:
        """Return when the coordinator has accepted a heartbeat of that generation, sent now.

        Raises Fenced when the generation is over: its partitions may be others'. RetryLater where nobody can tell now.
        """
        coordinator = self._consumer._coordinator if self._consumer is not None else None  # noqa: SLF001 - as above
        if coordinator is None or coordinator.generation != generation:
            raise Fenced(f"generation {generation} of the group is over")
        try:
            async with asyncio.timeout(self._timeout):
                accepted = await coordinator._do_heartbeat()  # noqa: SLF001 - as above
        except (KafkaError, TimeoutError) as error:
            raise RetryLater(f"no heartbeat was answered: {error!r}") from None
        if coordinator.generation != generation:
            raise Fenced(f"generation {generation} of the group is over")
        if not accepted:
            raise RetryLater("the group's coordinator is not there")

    async def commit(self, partition: Partition, offset: int) -> None:
        """Commit one offset. Raises Fenced when the partition is no longer ours, RetryLater where a retry may help."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._consumer.commit({_tp(partition): offset})
        except (CommitFailedError, IllegalStateError) as error:
            raise Fenced(str(error)) from None
        except (TopicAuthorizationFailedError, GroupAuthorizationFailedError) as error:
            raise ConfigError(f"this member may not commit: {error!r}") from None
        except (KafkaError, TimeoutError) as error:
            raise RetryLater(f"{type(error).__name__}: {error}") from None

    async def _bounded(self, call: Awaitable[Any]) -> Any:
        try:
            async with asyncio.timeout(self._timeout):
                return await call
        except IllegalStateError as error:
            raise Fenced(str(error)) from None
        except (KafkaConnectionError, KafkaError, TimeoutError) as error:
            raise RetryLater(f"{type(error).__name__}: {error}") from None

    def _ours(self, partitions: Sequence[Partition]) -> list[TopicPartition]:
        assigned = self._consumer.assignment()
        return [tp for tp in map(_tp, partitions) if tp in assigned]


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka ships no types
    def __init__(self, source: Source, assignment: Assignment) -> None:
        self._source, self._assignment = source, assignment

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        # Pausing comes first and nothing is awaited: records can arrive before this callback has returned.
        if self._source.stopped:  # an assignment that was on its way: the group gives it to others in a moment
            return
        partitions = [Partition(tp.topic, tp.partition) for tp in sorted(assigned)]
        self._source.pause(partitions)
        self._assignment.assigned(partitions, self._source.generation)

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        partitions = [Partition(tp.topic, tp.partition) for tp in sorted(revoked)]
        if self._source.stopped or self._source.generation == LOST:  # thrown out: others may own them already
            await self._assignment.lost(partitions)
        else:
            await self._assignment.revoked(partitions)


def _options(connection: KafkaConnection, membership: Membership) -> dict[str, Any]:
    rebalance = membership.drain + REBALANCE_MARGIN_SECONDS
    return client_options(connection) | {
        "group_id": membership.group_id,
        "group_instance_id": membership.instance_id,
        "client_id": membership.group_id,
        "partition_assignment_strategy": [sticky_assignor(membership.delivery)],
        "auto_offset_reset": "earliest",
        "enable_auto_commit": False,
        "isolation_level": "read_committed",
        "fetch_max_wait_ms": FETCH_WAIT_MS,
        "max_partition_fetch_bytes": MAX_FETCH_BYTES,
        "session_timeout_ms": int(membership.session_timeout * 1000),
        "heartbeat_interval_ms": int(membership.session_timeout * 1000 / 10),
        "rebalance_timeout_ms": int(max(rebalance, membership.session_timeout) * 1000),
    }


def _position(consumer: Any, tp: TopicPartition) -> int | None:
    """Where it stands, without waiting for a place to stand at, as aiokafka's own `position` would."""
    if tp not in consumer.assignment():
        return None
    state = consumer._subscription.subscription.assignment.state_value(tp)  # noqa: SLF001 - see above
    return int(state.position) if state.has_valid_position else None


def _tp(partition: Partition) -> TopicPartition:
    return TopicPartition(partition.topic, partition.partition)
