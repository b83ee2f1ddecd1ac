"""What the records of an input topic mean: the part of a lane that differs from topic to topic."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from consumer.analysis.calibration import Calibration
from consumer.errors import DeadLetter
from consumer.hooks.events import Event, Hooks, What
from consumer.pipeline.dispatch import Ask
from consumer.stream.place import Delivery
from consumer.stream.record import Output, Record
from consumer.stream.state import Changes
from schemas.headers import traceparent_of
from schemas.topics import TopicNames


@dataclass(frozen=True, slots=True)
class Staged:
    """What one commit publishes, and what to do and to tell once it has succeeded."""

    outputs: tuple[Output, ...]
    changes: Changes
    """Of the lane's state: for the changelog first, then for the store."""
    settle: Callable[[], None]
    """What follows from it; the state has changed by then."""
    events: tuple[Event, ...] = ()
    times: Sequence[tuple[int, float]] | None = None
    """Of the records whose results these are: Kafka's timestamp (ms), when done. None: they are the done prefix."""


class Workload(Protocol):
    """One lane's work. Nothing here waits: answers come by callback, `wake` says that there is something to commit."""

    def restore(self, record: Record) -> None:
        """Take in a record below the committed offset, for its state alone."""

    def receive(self, record: Record) -> None:
        """Take in a new record; the lane's `finish` is called for its offset now or later."""

    def receive_again(self, record: Record) -> None:
        """Take in a record that is in the state already: its outputs are wanted again, and nothing else."""

    def has_output(self) -> bool:
        """Whether a finished job waits to be published."""

    def stage(self, done: Sequence[object], refused: Mapping[object, str]) -> Staged:
        """Outputs and state changes of the done prefix and of the finished jobs. Changes nothing until it is settled.

        `refused`: what Kafka would not take, by the outputs' origin, and why: it becomes a dead letter.
        """

    def start_jobs(self, now: float) -> float | None:
        """Start what is due, seconds since 1970; gives when to come again."""


def trace_that_came(record: Record) -> bytes | None:
    """Handed on as it came: nothing is traced here."""
    return traceparent_of(record.headers)


def dead_letter_told(record: Record, fault: DeadLetter) -> Event:
    """What is told of a record that becomes a dead letter."""
    return Event(
        What.DEAD_LETTER,
        record.topic,
        record.partition,
        reason=fault.reason,
        detail=str(fault),
        records=(record,),
    )


@dataclass(frozen=True, slots=True)
class Made:
    """By whom results are made."""

    engine: str
    model: str


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """Bounds of a lane."""

    max_records: int
    max_bytes: int
    max_jobs: int
    """Restaurants whose summary, or strengths, are with the engine at once."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What all lanes of the process share."""

    names: TopicNames
    made: Made
    delivery: Delivery
    limits: LaneLimits
    submit: Callable[[Ask], None]
    """Asks the engine."""
    hooks: Hooks
    clock: Callable[[], float]
    """Seconds, never going back."""
    wall: Callable[[], float]
    """Seconds since 1970."""
    random: Callable[[], float]
    """Uniform in [0, 1)."""
    deleted_retention: float
    """Seconds for which the mark of a deleted review keeps a late original dead."""
    calibration: Calibration
    """What the labels' log-probabilities go through."""
    trace: Callable[[Record], bytes | None] = trace_that_came
    """W3C `traceparent` of what becomes of a record."""

    def on_clock(self, moment: datetime | None) -> float | None:
        """The moment on `clock`, as far as the wall clock is right now."""
        return None if moment is None else self.clock() + moment.timestamp() - self.wall()
