"""What becomes of an item's answer or failure: used, asked again after a pause, or final."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from consumer.engines.contract import Answer, Fault, Prepared
from consumer.errors import DeadLetter, RetryLater
from consumer.hooks.bugs import log_bug
from consumer.hooks.events import Event, Hooks, What
from consumer.pipeline.ask import Ask
from consumer.stream.apart import Apart
from consumer.stream.breaker import Breaker
from consumer.stream.retry import DelayQueue, GiveUp, RetryPolicy
from consumer.stream.work import Item, Rank

log = logging.getLogger(__name__)

OURS = frozenset({"engine_error", "engine_timeout", "invalid_answer", "internal_error"})
"""Reasons that are no fault of the record's upstream: when many records fail for them, no more are taken."""
INVALID = "invalid_answer"


class Settling:
    """Tells who asked, and holds what is asked again until its pause is over. Never waits."""

    def __init__(
        self,
        policy: RetryPolicy,
        breaker: Breaker,
        hooks: Hooks,
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._policy, self._breaker, self._hooks = policy, breaker, hooks
        self._clock, self._random = clock, random
        self._delayed: DelayQueue[Ask] = DelayQueue()
        self._openings = 0
        self.apart: Apart[Ask] = Apart()
        """What failed together, each group to be a batch of its own."""

    def settle(self, ask: Ask, prepared: Prepared, outcome: Answer | Fault) -> None:
        """Use what the engine says of one item."""
        if isinstance(outcome, RetryLater | DeadLetter):
            self.fail(ask, outcome)
            return
        try:
            ask.answered(outcome, prepared)
        except (RetryLater, DeadLetter) as fault:
            self.fail(ask, fault)
        except Exception as error:  # noqa: BLE001 - a bug of ours must not leave its record unfinished for ever
            log_bug(log, "an answer could not be used", error)
            self.fail(ask, DeadLetter("internal_error", type(error).__name__))
        else:
            self._succeed(ask)

    def fail(self, ask: Ask, fault: Fault) -> None:
        """One attempt has failed: the record's own, or one that says that the fault is ours."""
        now, ours = self._clock(), fault.reason in OURS and ask.rank is not Rank.JOB
        if fault.reason == INVALID:
            self._hooks(Event(What.INVALID_ANSWER, kind=ask.task.kind))
        if ours and self._breaker.pauses(now):
            self._hold(ask)
            return
        if ours and self._breaker.reason:  # it was the probe
            self._breaker.failed(now, str(fault), self._random())
            self._begin_anew(ask)
        ask.attempts += 1
        if (pause := self._pause(ask, fault)) is not None:
            self._tell_retry(ask, fault)
            self._delayed.push(ask, now + pause)
        elif ours and not self._breaker.reason and self._breaker.failed(now, str(fault), self._random()):
            self._openings += 1
            self._hooks(Event(What.BREAKER, reason="engine", detail=self._breaker.reason))
            self._hold(ask)
        else:
            ask.failed(DeadLetter(fault.reason, str(fault)) if isinstance(fault, RetryLater) else fault, ask.attempts)

    def failed_together(self, items: Sequence[Item[Ask]], fault: RetryLater) -> None:
        """A batch failed as a whole, and with several items nobody knows whose fault it was: no attempt is counted."""
        now = self._clock()
        if self._breaker.reason:
            self._breaker.failed(now, str(fault), self._random())
        for item in items:
            self._tell_retry(item.payload, fault)
        self.apart.failed(items, now + self._policy.delay(1, self._random()))

    def __iter__(self) -> Iterator[tuple[Ask, str]]:
        """All that wait, and for what: for their `retry`, or `apart` from others."""
        yield from ((ask, "retry") for ask in self._delayed)
        yield from ((item.payload, "apart") for item in self.apart)

    @property
    def waits(self) -> bool:
        """Whether something is to be asked again, now or later."""
        return bool(len(self._delayed) or len(self.apart))

    def pop_due(self) -> list[Ask]:
        """Take out what is to be asked again now."""
        return self._delayed.pop_due(self._clock())

    def next_due(self) -> float | None:
        """When something is to be asked again; None where nothing is."""
        due = (self._delayed.next_due(), self.apart.next_due())
        return min((d for d in due if d is not None), default=None)

    def discard(self, unwanted: Callable[[Ask], bool]) -> None:
        """Drop waiting asks."""
        self._delayed.discard(unwanted)
        self.apart.discard(lambda item: unwanted(item.payload))

    def _tell_retry(self, ask: Ask, fault: Fault) -> None:
        told = Event(What.RETRY, kind=ask.task.kind, reason=fault.reason, detail=str(fault), records=(ask.record,))
        self._hooks(told)

    def _succeed(self, ask: Ask) -> None:
        """Jobs are not records; but whatever is answered tells that the engine answers."""
        if (ask.rank is not Rank.JOB or self._breaker.reason) and self._breaker.succeeded(self._clock()):
            self._hooks(Event(What.BREAKER, reason="engine", count=0))

    def _pause(self, ask: Ask, fault: Fault) -> float | None:
        """Seconds until it is asked again; None: that was the last time. An invalid answer is asked for once more."""
        if not isinstance(fault, RetryLater) or (fault.reason == INVALID and ask.task.strict):
            return None
        decision = self._policy.decide(ask.attempts, self._random())
        if isinstance(decision, GiveUp):
            return None
        if fault.reason == INVALID:
            ask.task, ask.prepared = replace(ask.task, strict=True), None
        return decision.seconds

    def _hold(self, ask: Ask) -> None:
        """It waits as if it had never been tried: the fault is ours."""
        self._begin_anew(ask)
        self._delayed.push(ask, self._breaker.until)

    def _begin_anew(self, ask: Ask) -> None:
        """Attempts from before this opening are forgotten, once; those as a probe count: nothing waits for ever."""
        if ask.opening != self._openings:
            ask.opening, ask.attempts = self._openings, 0
