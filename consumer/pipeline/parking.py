"""Jobs that fail: a longer pause after each failure, then parked, until what they are made from changes."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from consumer.analysis.task import Kind
from consumer.errors import DeadLetter
from consumer.hooks.events import Event, What
from consumer.pipeline.workload import Shared
from consumer.stream.record import Partition
from consumer.stream.retry import RetryAfter, RetryPolicy

MAX_REASON = 300
"""Characters of why a job is parked, as the state keeps it."""

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Failed:
    """What a failure means."""

    parked: str | None
    """Why it is not tried any more; None where it is."""
    events: tuple[Event, ...]
    """To be told when its commit has succeeded."""


class Parking(Generic[K]):
    """The failures of one lane's jobs. How many a job has had is the state's; the pauses are this process's."""

    def __init__(self, kind: Kind, lane: Partition, shared: Shared, policy: RetryPolicy) -> None:
        self._kind, self._lane, self._shared, self._policy = kind, lane, shared, policy
        self._paused: dict[K, float] = {}
        """Until when, seconds since 1970."""
        self._parked: set[K] = set()

    def failed(self, key: K, failures: int, fault: DeadLetter | None) -> Failed:
        """The job of `key` has failed, so often in a row."""
        reason, said = (fault.reason, str(fault)) if fault else ("internal_error", "no answer")
        topic, number = self._lane
        told = [Event(What.JOB_FAILED, topic, number, self._kind, reason=reason, detail=said)]
        if isinstance(self._policy.decide(failures, 0.0), RetryAfter):
            return Failed(None, tuple(told))
        detail = f"{key}, after {failures} attempts, until its next review: {said}"
        told.append(Event(What.JOB_PARKED, topic, number, self._kind, reason=reason, detail=detail))
        return Failed(f"{reason}: {said}"[:MAX_REASON], tuple(told))

    def ended(self, key: K, failures: int) -> None:
        """The job of `key` has ended; it has failed so often in a row, or not at all."""
        if failures:
            pause = self._policy.delay(failures, self._shared.random())
            self._paused[key] = self._shared.wall() + pause
        else:
            self._paused.pop(key, None)

    def not_before(self, key: K, due: float) -> float:
        """When a job that is due at that time may start; seconds since 1970."""
        until = self._paused.get(key)
        if until is None:
            return due
        if until <= self._shared.wall():
            del self._paused[key]
        return max(due, until)

    def put(self, key: K, *, parked: bool) -> None:
        """Whether the job of `key` is parked now; a change of how many are is told."""
        if parked is (key in self._parked):
            return
        if parked:
            self._parked.add(key)
        else:
            self._parked.discard(key)
            self._paused.pop(key, None)
        self._shared.hooks(Event(What.PARKED, *self._lane, kind=self._kind, count=len(self._parked)))
