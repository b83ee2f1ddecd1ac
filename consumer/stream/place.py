"""Where a lane stands: the mark that every commit writes, and where a lane that opens begins. Pure."""

from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter

from consumer.errors import ConfigError, LaneRefused

FORMAT = 1
"""Of the state's records. A member that meets a newer one refuses the partition."""
RESETTING = -1
"""Offset of the mark of a lane whose state is being deleted: until that is done nobody can work on what is left."""
Delivery = Literal["exactly_once", "at_least_once"]
Origin = Literal["committed", "state", "beginning"]
"""Where a lane begins that has no committed offset, or another than its state says."""


@dataclass(frozen=True, slots=True)
class LaneMark:
    """Written with every commit: how far the lane's input has come with the state of that commit."""

    offset: int
    """The input offset that was committed with it."""
    sequence: int
    """Commits so far, over all owners."""
    partitions: int
    """Of the input topic: another count puts restaurants on other lanes."""
    format: int = FORMAT
    delivery: Delivery = "exactly_once"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a lane's state stands."""

    mark: LaneMark | None = None
    """The last one."""
    position: int = 0
    """Offset in the changelog of the first record that is not in the state."""

    @property
    def sequence(self) -> int:
        """Commits so far."""
        return self.mark.sequence if self.mark else 0


@dataclass(frozen=True, slots=True)
class Start:
    """Where a lane begins."""

    offset: int
    """Of the first record it takes."""
    state_offset: int
    """Records below it are in the state already: they are answered from it, never folded again."""


_MARK = TypeAdapter(LaneMark)


def encode_mark(mark: LaneMark) -> bytes:
    """As JSON."""
    return _MARK.dump_json(mark)


def read_mark(value: bytes | None) -> LaneMark:
    """The mark. Raises LaneRefused where a newer version wrote it, ValueError where it is none."""
    mark = _MARK.validate_json(value or b"")
    if mark.format > FORMAT:
        raise LaneRefused(
            f"its state has format {mark.format}, this version reads up to {FORMAT}: a newer member has worked on it; "
            "upgrade this one"
        )
    return mark


def has_committed(found: LaneMark | None, sequence: int) -> bool | None:
    """Whether the commit of this sequence was made. `found`: the newest mark, if one came after the last commit.

    None: somebody else has committed since.
    """
    if found is None or found.sequence == sequence - 1:
        return False
    return True if found.sequence == sequence else None


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a lane when it opens."""

    topic: str
    partition: int
    partitions: int
    """Partition count of the topic now."""
    beginning: int
    """The first offset that the topic still holds."""
    committed: int | None
    mark: LaneMark | None


def where_to_start(lane: Standing, origin: Origin | None) -> Start:
    """Where a lane begins; `origin` is what a person decided with `run --from`.

    Raises ConfigError where no lane can go on, LaneRefused where this one cannot.
    """
    mark, committed = lane.mark, lane.committed
    _same_partitions(lane)
    if mark is not None and mark.offset == RESETTING:
        raise LaneRefused(
            "`review-consumer state reset` has deleted a part of its state and was cut short: run it again"
        )
    state = mark.offset if mark else 0
    if origin is not None and committed != (mark.offset if mark else None):
        chosen = {"committed": lane.beginning if committed is None else committed, "state": state, "beginning": 0}
        return Start(max(chosen[origin], lane.beginning), min(state, chosen[origin]))
    if mark is None and committed is None:
        return Start(lane.beginning, lane.beginning)
    if committed is None and mark is not None and _is_first(mark):
        return Start(lane.beginning, mark.offset)
    if mark is None or committed is None or not _agree(mark, committed):
        raise LaneRefused(_disagreement(lane))
    return Start(max(committed, lane.beginning), mark.offset)


def _same_partitions(lane: Standing) -> None:
    if lane.mark is not None and lane.mark.partitions != lane.partitions:
        raise ConfigError(
            f"{lane.topic} has {lane.partitions} partitions, its state was made with {lane.mark.partitions}: its "
            "restaurants lie on other partitions now. Stop upstream, create a new topic with the new count, copy the "
            "old one into it by `review-consumer rekey`, and start with the new topic and a new KAFKA_GROUP_ID"
        )


def _agree(mark: LaneMark, committed: int) -> bool:
    """In exactly_once both were written in one transaction; in at_least_once the mark comes first."""
    return mark.offset == committed or (mark.delivery == "at_least_once" and mark.offset > committed)


def _is_first(mark: LaneMark) -> bool:
    """In at_least_once a lane that ends inside its first commit leaves its state, and no offset yet."""
    return mark.delivery == "at_least_once" and mark.sequence == 1


def _disagreement(lane: Standing) -> str:
    has = f"its state ends at offset {lane.mark.offset}" if lane.mark else "it has no state"
    group = "the group has no committed offset" if lane.committed is None else f"the group stands at {lane.committed}"
    return (
        f"{has}, {group}: somebody has moved or deleted one of the two. Decide once where to go on: "
        "`review-consumer run --from state|committed|beginning`"
    )
