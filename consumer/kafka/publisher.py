"""The producing side: how a lane's outputs, its state's changelog and its offset are written."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from consumer.stream.changelog import Entry
from consumer.stream.record import Output, Partition
from schemas.connection import KafkaConnection


class Commit(StrEnum):
    """How a commit ended."""

    COMMITTED = "committed"
    NOT_COMMITTED = "not_committed"
    """Nothing of it counts: send it again."""
    UNKNOWN = "unknown"
    """It may count or not. Send the very same again: the publisher finds out first."""
    REFUSED = "refused"
    """Not committed, and never would be: Kafka does not take `Outcome.refused`. Send it again without those."""
    FENCED = "fenced"
    """Another member owns the partition: close the lane."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a commit."""

    commit: Commit
    detail: str = ""
    """The error's text."""
    refused: tuple[int, ...] = ()
    """Indexes of the outputs that Kafka will not take."""
    position: int = -1
    """Where this commit's records begin in the changelog."""


@dataclass(frozen=True, slots=True)
class Write:
    """What one commit writes."""

    outputs: Sequence[Output]
    entries: Sequence[Entry]
    """State changes, the lane's mark last."""
    offset: int
    """Of the input: the first record that is not done."""
    sequence: int
    """The mark's."""
    since: int
    """An offset of the changelog: the newest mark before this commit lies below it, or right behind it."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a member publishes."""

    connection: KafkaConnection
    group_id: str
    topics: tuple[str, ...]
    """All that it writes to."""


class Publisher(Protocol):
    """Writes for one lane, from its assignment to its revocation, in the way its delivery mode promises."""

    largest: int | None
    """Bytes of state changes that a commit may have; None: any."""

    async def open(self) -> None:
        """Keep former owners of the partition from committing. Bounded; safe to call again after RetryLater.

        Raises RetryLater, Fenced where the partition is another member's, ConfigError.
        """

    async def commit(self, write: Write) -> Outcome:
        """Write all of it, or find out what became of it; bounded. ConfigError when it would hit every record."""

    async def close(self) -> None:
        """Bounded; safe to call twice. What is not committed stays with Kafka."""


class Publishers(Protocol):
    """Makes the publishers of a member."""

    async def start(self) -> None:
        """Raises ConfigError when no broker can be used."""

    async def stop(self) -> None:
        """Bounded; safe to call twice."""

    def publisher(self, lane: Partition, generation: int) -> Publisher:
        """One for a lane that was assigned in this generation of the group; not open yet."""


class PublishersByTopic:
    """Some input topics' lanes publish in a way of their own, the others in the usual one."""

    def __init__(self, usual: Publishers, others: Mapping[str, Publishers]) -> None:
        self._usual, self._others = usual, others

    async def start(self) -> None:
        """Raises ConfigError when no broker can be used."""
        for publishers in (self._usual, *self._others.values()):
            await publishers.start()

    async def stop(self) -> None:
        """Bounded; safe to call twice."""
        await asyncio.gather(*(publishers.stop() for publishers in (self._usual, *self._others.values())))

    def publisher(self, lane: Partition, generation: int) -> Publisher:
        """By the lane's topic."""
        return self._others.get(lane.topic, self._usual).publisher(lane, generation)
