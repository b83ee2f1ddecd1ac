"""What the changelogs hold, read from outside: beside running members, in bounded memory."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from consumer.kafka.changelog import Changelog
from consumer.kafka.standing import Offsets, offsets
from consumer.settings import Settings
from consumer.store.latest import LatestValues
from consumer.stream.changelog import LANE_KEY, Entry, parse_key, restaurant_of
from consumer.stream.record import Partition
from schemas.topics import state_topic

Advance = Callable[[int], None]
"""So many offsets more have been read."""


@dataclass(frozen=True, slots=True)
class LaneStanding:
    """Where a lane's two topics stand."""

    input: Offsets
    changelog: Offsets

    @property
    def size(self) -> int:
        """Offsets of the changelog, markers counted."""
        return max(0, self.changelog.end - self.changelog.beginning)


async def find(settings: Settings, lanes: Sequence[Partition]) -> Mapping[Partition, LaneStanding]:
    """Where these lanes stand. Raises ConfigError, RetryLater."""
    group = settings.delivery.kafka_group_id
    states = {lane: Partition(state_topic(group, lane.topic), lane.partition) for lane in lanes}
    found = await offsets(settings.kafka, group, [*states, *states.values()])
    return {lane: LaneStanding(found[lane], found[state]) for lane, state in states.items()}


async def read(
    settings: Settings,
    lane: Partition,
    position: int,
    into: LatestValues,
    advance: Advance,
    restaurant: str | None = None,
) -> int:
    """Read a lane's changelog from there to its end; with `restaurant` only what is about that one, and the mark.

    Gives the offset behind the last. Raises RetryLater, ConfigError, and Discontinued where `position` is past it.
    """
    reached = position

    def take(records: Sequence[Entry], at: int, _end: int) -> None:
        nonlocal reached
        into.take(lane, [r for r in records if restaurant is None or _is_about(r[0], restaurant)])
        advance(at - reached)
        reached = at

    await Changelog(settings.kafka, settings.delivery.kafka_group_id).read(lane, position, take)
    return reached


def _is_about(key: bytes, restaurant: str) -> bool:
    if key == LANE_KEY:
        return True
    try:
        return restaurant_of(parse_key(key)) == restaurant
    except ValueError:
        return False
