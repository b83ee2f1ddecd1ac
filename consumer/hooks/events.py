"""The one event type, and the list of those who listen to it."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

log = logging.getLogger(__name__)


class What(StrEnum):
    """What happened."""

    RECEIVED = "received"
    """`count` records of `topic`."""
    FIELD_DROPPED = "field_dropped"
    """A bad optional field, `reason` names it."""
    RESULT = "result"
    """`count` results of `kind` were committed, `reason` is the outcome."""
    DEAD_LETTER = "dead_letter"
    """A record became a dead letter; `reason` is its code, `detail` the message."""
    BATCH_STARTED = "batch_started"
    """A micro-batch: `count` items, `ratio` of its token budget, `reason` it was sent for."""
    BATCH_ENDED = "batch_ended"
    """After `seconds`."""
    ANSWERED = "answered"
    """One item of `kind`, after `seconds` in the engine."""
    QUEUED = "queued"
    """One item of `kind` waited `seconds` for its batch."""
    RETRY = "retry"
    """One item of `kind` is tried again; `detail` says why."""
    JOB_FAILED = "job_failed"
    """A summary or strength job (`kind`); `detail` says why."""
    JOB_PARKED = "job_parked"
    """A job (`kind`) is not tried again for now; `detail` names what it is about, and says why."""
    PARKED = "parked"
    """`count` jobs of `kind` of a lane are parked now."""
    UNGROUNDED = "ungrounded"
    """`count` claims of an answer of `kind` cited no review, and were dropped."""
    COMMITTED = "committed"
    """A lane's commit of `count` outputs took `seconds`."""
    COMMIT_FAILED = "commit_failed"
    """`reason` is the outcome, `detail` the error."""
    RESTORING = "restoring"
    """A lane reads its changelog: `count` offsets remain."""
    RESTORED = "restored"
    """A lane has read its changelog, or has ended before: after `seconds`, `count` records of it were new."""
    OPENED = "opened"
    """A lane takes records, from offset `count`."""
    REFUSED = "refused"
    """A partition is not worked on until a person has decided; `detail` says why."""
    CLOSED = "closed"
    """A lane has ended, at committed offset `count`."""
    PAUSED = "paused"
    """`count` partitions are paused now."""
    LOAD = "load"
    """In flight: `count` tokens, `ratio` of the ceiling."""
    BATCHES = "batches"
    """`count` micro-batches hold a permit."""
    CEILING = "ceiling"
    """At most `count` tokens may be in flight from now on."""
    ENGINE_LOAD = "engine_load"
    """The engine's own words: `count` requests wait in its queue, `ratio` of its KV cache is in use."""
    PREEMPTED = "preempted"
    """The engine took memory back from `count` requests, and computes them again later."""
    LOOKED_UP = "looked_up"
    """One item of `kind` in the result cache; `reason`: `kept`, `in_flight` (an equal one was being asked), `asked`."""
    CACHE_DOWN = "cache_down"
    """The shared cache does not answer, and is left alone for a while; `detail` says why."""
    CACHE_UP = "cache_up"
    """It answers again."""
    ENGINE_DOWN = "engine_down"
    """`reason`: `died`, `not_started`, or `unavailable` (refuses for now, or cannot be reached); `detail` says why."""
    ENGINE_RESTART = "engine_restart"
    """It is stopped and started again."""
    ENGINE_UP = "engine_up"
    """It takes work."""
    BREAKER = "breaker"
    """Records are not taken any more (`count` 1), or again (0), as too many failed at `reason` (engine, publish);
    `detail` says how many, and why the last."""
    SUSPECTS = "suspects"
    """`count` items may have killed the engine, and are kept apart."""
    WAITING = "waiting"
    """`count` items wait for a batch."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened; which fields are set is said at each kind."""

    what: What
    topic: str = ""
    partition: int = -1
    kind: str = ""
    reason: str = ""
    count: int = 1
    seconds: float = 0.0
    ratio: float = 0.0
    detail: str = ""


Listener = Callable[[Event], None]


class Hooks:
    """Tells every listener; one that fails is named once in the log and never stops a record."""

    def __init__(self, listeners: Sequence[Listener] = ()) -> None:
        self._listeners = tuple(listeners)
        self._failed: set[Listener] = set()

    def __call__(self, event: Event) -> None:
        """Tell them, in order."""
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:  # whatever it is, it is the listener's alone
                if listener not in self._failed:
                    self._failed.add(listener)
                    log.exception("a listener failed, and is not reported again", extra={"listener": repr(listener)})
