"""What the changelogs hold, read from outside: beside running members, in bounded memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from consumer.kafka.changelog import Changelog
from consumer.kafka.standing import Offsets, offsets
from consumer.settings import Settings
from consumer.store.latest import LatestValues
from consumer.stream.changelog import LANE_KEY, Entry, parse_key, restaurant_of
from consumer.stream.record import Partition
from schemas.topics import state_topic

Advance = Callable[[int], None]
"""So many offsets more have been read."""


class Lanes:
    """Some lanes of a group, and where they stand."""

    def __init__(self, lanes: Mapping[Partition, Offsets], changelogs: Mapping[Partition, Offsets]) -> None:
        """`changelogs`: by their lanes."""
        self.inputs, self.changelogs = lanes, changelogs

    @property
    def size(self) -> int:
        """Offsets to read, of all changelogs."""
        return sum(found.end - found.beginning for found in self.changelogs.values())


async def find(settings: Settings, lanes: Sequence[Partition]) -> Lanes:
    """Where these lanes and their changelogs stand. Raises ConfigError, RetryLater."""
    group = settings.delivery.kafka_group_id
    states = {lane: Partition(state_topic(group, lane.topic), lane.partition) for lane in lanes}
    found = await offsets(settings.kafka, group, [*states, *states.values()])
    return Lanes({lane: found[lane] for lane in states}, {lane: found[state] for lane, state in states.items()})


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


@contextmanager
def values() -> Iterator[LatestValues]:
    """Hold a temporary file for them."""
    held = LatestValues()
    try:
        yield held
    finally:
        held.close()


def _is_about(key: bytes, restaurant: str) -> bool:
    if key == LANE_KEY:
        return True
    try:
        return restaurant_of(parse_key(key)) == restaurant
    except ValueError:
        return False
