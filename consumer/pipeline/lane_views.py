"""What can be seen of one partition at one moment. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from consumer.hooks.lanes import LaneView
from consumer.pipeline.worker import Worker
from consumer.stream.lane import Lane


@dataclass(frozen=True, slots=True)
class Look:
    """What is known beside the worker itself."""

    now: float
    """Seconds on the worker's clock."""
    wall: float
    """Seconds since 1970."""
    paused: str
    end: int | None
    """Of the partition, as last heard; and the consumer's position then."""
    position: int | None
    lagging_since: float | None
    """Since when records are known to be there that were not fetched; on the clock."""
    stages: Mapping[tuple[str, int, int], str]
    """Of a record, by topic, partition and offset."""


def place_of(worker: Worker) -> tuple[str, int, int] | None:
    """Where the oldest unanswered record of a partition lies."""
    slot = worker.lane.oldest_unfinished if worker.lane is not None else None
    return (*worker.partition, slot.offset) if slot else None


def view(worker: Worker, look: Look) -> LaneView:
    """A worker as it is now."""
    lane, fill = worker.lane, worker.fill()
    oldest, unfinished = (lane.oldest, lane.oldest_unfinished) if lane is not None else (None, None)
    committed = lane.committed if lane is not None else worker.start
    lag = _lag(lane, committed, look)
    topic, partition = worker.partition
    return LaneView(
        topic=topic,
        partition=partition,
        state=_state(worker),
        paused=look.paused,
        committed=committed,
        end=look.end,
        lag=lag,
        lag_seconds=_lag_seconds(lane, lag, look),
        in_flight=fill.records,
        in_flight_bytes=fill.bytes,
        oldest_offset=oldest.offset if oldest else None,
        oldest_age=look.now - oldest.taken_at if oldest else 0.0,
        oldest_stage=_stage(lane, (topic, partition), look),
        unanswered_age=look.now - unfinished.taken_at if unfinished else 0.0,
        trouble=worker.refusal or worker.trouble,
        state_bytes=worker.state_bytes,
    )


def _state(worker: Worker) -> str:
    if worker.refusal:
        return "refused"
    if worker.closed:
        return "closed"
    return "open" if worker.restored else "opening"


def _stage(lane: Lane[Any] | None, place: tuple[str, int], look: Look) -> str:
    oldest = lane.oldest if lane is not None else None
    if oldest is None:
        return ""
    return "publish" if oldest.finished else look.stages.get((*place, oldest.offset), "")


def _lag(lane: Lane[Any] | None, committed: int | None, look: Look) -> int | None:
    """Offsets to go. Transaction markers at the end are none: the position is behind them, nothing is in flight."""
    if committed is None or (look.end is None and lane is None):
        return None
    end = max(committed, look.end or 0, lane.next if lane is not None else 0)
    if lane is not None and not len(lane) and look.position is not None and look.position >= end:
        return 0
    return end - committed


def _lag_seconds(lane: Lane[Any] | None, lag: int | None, look: Look) -> float:
    if lane is not None and lane.oldest is not None:
        return max(0.0, look.wall - lane.oldest.timestamp / 1000)
    return look.now - look.lagging_since if lag and look.lagging_since is not None else 0.0
