"""The one event type, and the list of those who listen to it."""

import logging
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol

from consumer.hooks.lanes import LaneView
from consumer.values import value

log = logging.getLogger(__name__)


class What(StrEnum):
    """What happened."""

    CONFIGURED = "configured"
    """Once, at the start: the engine `kind` of the model `detail`; `values`: items and tokens that a batch may have."""
    RECEIVED = "received"
    """A poll brought `count` records of a partition."""
    ACCEPTED = "accepted"
    """`records`, `count` of them, were taken into their lane."""
    FIELD_DROPPED = "field_dropped"
    """A bad optional field, `reason` names it."""
    RESULT = "result"
    """`count` results were committed; `reason` is the outcome. Of `kind`, where something was published; of records of
    `topic`, where it is not a job's."""
    PUBLISHED = "published"
    """Results of records of a partition were committed, `values` seconds after each was answered; what lies below
    offset `count` is all committed now."""
    LATENCY = "latency"
    """The same: `values` seconds after the records' Kafka timestamps."""
    COMPARED = "compared"
    """`count` labels were compared with the field `kind` of their reviews: `reason` is the result."""
    DEAD_LETTER = "dead_letter"
    """A record became a dead letter, in `records`; `reason` is its code, `detail` the message."""
    BATCH_STARTED = "batch_started"
    """Micro-batch number `batch`: `count` items, `values` tokens, `ratio` of its token budget, `reason` it was sent
    for; `records` asked for them."""
    BATCH_ENDED = "batch_ended"
    """Micro-batch number `batch`, after `seconds`."""
    ANSWERED = "answered"
    """Items of `kind` of micro-batch number `batch`, after `values` seconds in the engine; `records` asked for them."""
    TOKENS = "tokens"
    """Of `count` answers of `kind`: `values` prompt tokens, those of them that were cached, and generated tokens."""
    QUEUED = "queued"
    """Items of `kind` waited `values` seconds for micro-batch number `batch`; `records` asked for them."""
    RETRY = "retry"
    """One item of `kind` is tried again; `reason` is the fault's code, `detail` says why; `records` asked for it."""
    INVALID_ANSWER = "invalid_answer"
    """An answer of `kind` was off its form."""
    JOB_FAILED = "job_failed"
    """A summary or strength job (`kind`); `detail` says why."""
    JOB_PARKED = "job_parked"
    """A job (`kind`) is not tried again for now; `detail` names what it is about, and says why."""
    PARKED = "parked"
    """`count` jobs of `kind` of a lane are parked now."""
    UNGROUNDED = "ungrounded"
    """`count` claims of an answer of `kind` cited no review, and were dropped."""
    COMMITTED = "committed"
    """A lane's commit of `count` outputs took `seconds`; `reason` is the outcome: committed."""
    COMMIT_FAILED = "commit_failed"
    """`reason` is the outcome, `detail` the error; after `seconds`."""
    ASSIGNED = "assigned"
    """The group gave this member `count` partitions."""
    LOST = "lost"
    """Others took a partition before this member gave it up."""
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
    LANES = "lanes"
    """Now and then: all `lanes` of this member, as they are now."""
    LOAD = "load"
    """In flight: `count` tokens; `values`: their ceiling, batches that hold a permit, permits."""
    ENGINE_LOAD = "engine_load"
    """The engine's own words: `count` requests wait in its queue, `values` run, `ratio` of its KV cache is in use."""
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


class Carrier(Protocol):
    """A record that something is about: where it lies, and the headers that its trace is in."""

    @property
    def topic(self) -> str:
        """Topic."""

    @property
    def partition(self) -> int:
        """Partition."""

    @property
    def offset(self) -> int:
        """Offset."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """Headers, in order."""


@value
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
    values: Sequence[float] = ()
    records: Sequence[Carrier | None] = ()
    """One a value, where there are values; None for what no record asked for."""
    batch: int = 0
    lanes: Sequence[LaneView] = ()


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
