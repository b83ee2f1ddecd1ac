"""What becomes of an item's answer or failure: used, asked again after a pause, or final."""

import logging
from collections.abc import Callable

from consumer.engines.contract import Answer, Fault, Prepared
from consumer.errors import DeadLetter, RetryLater
from consumer.hooks.events import Event, Hooks, What
from consumer.pipeline.ask import Ask
from consumer.stream.retry import DelayQueue, GiveUp, RetryPolicy

log = logging.getLogger(__name__)


class Settling:
    """Tells who asked, and holds what is asked again until its pause is over. Never waits."""

    def __init__(
        self, policy: RetryPolicy, hooks: Hooks, *, clock: Callable[[], float], random: Callable[[], float]
    ) -> None:
        self._policy, self._hooks, self._clock, self._random = policy, hooks, clock, random
        self._delayed: DelayQueue[Ask] = DelayQueue()

    def settle(self, ask: Ask, prepared: Prepared, outcome: Answer | Fault) -> None:
        """Use what the engine says of one item."""
        if isinstance(outcome, RetryLater | DeadLetter):
            self._fail(ask, outcome)
            return
        try:
            ask.answered(outcome, prepared)
        except (RetryLater, DeadLetter) as fault:
            self._fail(ask, fault)
        except Exception as error:  # a bug of ours must not leave its record unfinished for ever
            log.exception("an answer could not be used")
            ask.failed(DeadLetter("internal_error", type(error).__name__), ask.attempts + 1)

    def pop_due(self) -> list[Ask]:
        """Take out what is to be asked again now."""
        return self._delayed.pop_due(self._clock())

    def next_due(self) -> float | None:
        """When something is to be asked again; None where nothing is."""
        return self._delayed.next_due()

    def discard(self, unwanted: Callable[[Ask], bool]) -> None:
        """Drop waiting asks."""
        self._delayed.discard(unwanted)

    def _fail(self, ask: Ask, fault: Fault) -> None:
        if isinstance(fault, RetryLater):
            self._try_again(ask, fault)
        else:
            ask.failed(fault, ask.attempts + 1)

    def _try_again(self, ask: Ask, fault: RetryLater) -> None:
        ask.attempts += 1
        decision = self._policy.decide(ask.attempts, self._random())
        if isinstance(decision, GiveUp):
            ask.failed(DeadLetter(fault.reason, str(fault)), ask.attempts)
            return
        self._hooks(Event(What.RETRY, kind=ask.task.kind, detail=str(fault)))
        self._delayed.push(ask, self._clock() + decision.seconds)
