"""Deleting the state of all lanes of a group, and saying where each goes on: commits like any other of the lane.

Every key gets a tombstone, so that local stores on other hosts learn of it too, and compaction removes the rest. The
last commit of a lane writes a mark and an offset that agree: it can be opened as usual. Between the first and the last
it cannot be opened at all.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from consumer.errors import ConfigError, Fenced
from consumer.kafka import admin
from consumer.kafka.changelog import Changelog
from consumer.kafka.clients import Unreachable
from consumer.kafka.exactly_once import ExactlyOncePublisher
from consumer.kafka.publisher import Commit, Destination, Write
from consumer.pipeline.reading import Advance, LaneStanding, read
from consumer.settings import Settings
from consumer.state_dir import free_directories
from consumer.store.disk import remove_store, store_file
from consumer.store.latest import LatestValues
from consumer.stream.changelog import LANE_KEY, Entry, mark_entry
from consumer.stream.place import RESETTING, LaneMark, read_mark
from consumer.stream.record import Partition
from schemas.topics import state_topic

log = logging.getLogger(__name__)

ResetTo = Literal["beginning", "committed"]

KEYS_PER_COMMIT = 5000
COMMIT_ATTEMPTS = 20
RETRY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class LaneReset:
    """What is to be done with one lane."""

    lane: Partition
    partitions: int
    """Of its topic."""
    mark: LaneMark | None
    """Its last one."""
    committed: int | None
    goes_on_at: int
    """Offset of the first record that it takes afterwards."""
    end: int
    """Of its topic."""
    changelog_beginning: int


def planned(
    lane: Partition, partitions: int, found: LaneStanding, values: LatestValues, to: ResetTo
) -> LaneReset | None:
    """What a reset does with a lane; None where there is nothing to do. Raises LaneRefused for a newer format."""
    value, committed, beginning = values.get(lane, LANE_KEY), found.input.committed, found.input.beginning
    mark = read_mark(value) if value is not None else None
    if mark is None and committed is None and not values.count(lane):
        return None
    goes_on_at = beginning if to == "beginning" or committed is None else max(committed, beginning)
    return LaneReset(lane, partitions, mark, committed, goes_on_at, found.input.end, found.changelog.beginning)


async def require_no_members(settings: Settings) -> None:
    """Raises ConfigError where the group has members."""
    group = settings.delivery.kafka_group_id
    if found := await admin.members(settings.kafka, group):
        shown = ", ".join(found[:3]) + (", ..." if len(found) > len(found[:3]) else "")
        raise ConfigError(
            f"the group {group} has {len(found)} members ({shown}): stop them first; one that died counts for "
            f"KAFKA_SESSION_TIMEOUT_SECONDS={settings.delivery.kafka_session_timeout_seconds:g} more"
        )


async def reset(settings: Settings, lane: LaneReset, values: LatestValues, advance: Advance) -> None:
    """Do it. Raises ConfigError where a member has come meanwhile, or Kafka refuses; RetryLater. Can be run again."""
    group = settings.delivery.kafka_group_id
    to = Destination(settings.kafka, group, (state_topic(group, lane.lane.topic),))
    publisher = ExactlyOncePublisher(to, _NoMembers(settings), Changelog(settings.kafka, group), lane.lane, 0)
    try:
        try:
            await publisher.open()  # whoever had the lane can write nothing more
        except Fenced as error:
            raise ConfigError(str(error)) from None
        position = await _caught_up(settings, lane, values)
        await _Reset(settings, lane, position, values, publisher).commit_all(advance)
    finally:
        await publisher.close()


def remove_local_stores(settings: Settings, lanes: Sequence[Partition]) -> list[str]:
    """Delete the stores of these lanes that no process holds; the files' names. Raises ConfigError."""
    removed: list[str] = []
    with free_directories(settings.service.state_dir, settings.delivery.kafka_group_id) as directories:
        for directory in directories:
            for lane in lanes:
                file = store_file(directory, lane)
                try:
                    if remove_store(file):
                        removed.append(str(file))
                except OSError as error:
                    raise ConfigError(f"STATE_DIR: {file} cannot be deleted: {error.strerror or error}") from None
    return removed


async def _caught_up(settings: Settings, lane: LaneReset, values: LatestValues) -> int:
    """Read it once more: a person may have thought for long. The position reached."""
    return await read(settings, lane.lane, lane.changelog_beginning, values, lambda _: None)


class _NoMembers:
    """Stands where a member's source does: a lane may be taken while its group has no members."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def confirm(self, generation: int) -> None:  # noqa: ARG002 - there is none without a membership
        """Raises Fenced where there are members."""
        try:
            await require_no_members(self._settings)
        except Unreachable:
            raise
        except ConfigError as error:
            raise Fenced(str(error)) from None


class _Reset:
    """The commits of one lane's reset."""

    def __init__(
        self,
        settings: Settings,
        lane: LaneReset,
        position: int,
        values: LatestValues,
        publisher: ExactlyOncePublisher,
    ) -> None:
        self._settings, self._lane, self._values, self._publisher = settings, lane, values, publisher
        self._position = position
        written = values.get(lane.lane, LANE_KEY)
        self._sequence = read_mark(written).sequence if written is not None else 0

    async def commit_all(self, advance: Advance) -> None:
        """Tombstones, so many a commit; with the last the mark and the offset that the lane goes on from."""
        lane, after = self._lane, b""
        while len(keys := self._values.keys(lane.lane, after, KEYS_PER_COMMIT)) == KEYS_PER_COMMIT:
            still = lane.goes_on_at if lane.committed is None else lane.committed
            await self._commit(keys, RESETTING, still)
            advance(len(keys))
            after = keys[-1]
        await self._commit(keys, lane.goes_on_at, lane.goes_on_at)
        advance(len(keys))

    async def _commit(self, keys: list[bytes], marked: int, offset: int) -> None:
        self._sequence += 1
        mark = LaneMark(marked, self._sequence, self._lane.partitions, delivery=self._settings.delivery.delivery)
        entries: list[Entry] = [(key, None) for key in keys if key != LANE_KEY]
        write = Write((), (*entries, mark_entry(mark)), offset, mark.sequence, self._position)
        for _ in range(COMMIT_ATTEMPTS):
            outcome = await self._publisher.commit(write)
            if outcome.commit is Commit.COMMITTED:
                self._position = outcome.position
                return
            if outcome.commit in {Commit.FENCED, Commit.REFUSED}:
                break
            log.warning("a commit is tried again", extra={"outcome": outcome.commit, "error": outcome.detail})
            await asyncio.sleep(RETRY_SECONDS)
        where = f"{self._lane.lane.topic}/{self._lane.lane.partition}"
        raise ConfigError(f"the reset of {where} was cut short ({outcome.detail}): run it again")
