"""Asks the engine for its load, and sets the ceiling of tokens in flight by it."""

from collections.abc import Callable

from consumer.engines.contract import Load
from consumer.hooks.events import Event, Hooks, What
from consumer.stream.ceiling import Ceiling, Reading


class Regulator:
    """Gives the ceiling: the adaptive one, or `most` tokens where the engine tells nothing of its load."""

    def __init__(
        self, ceiling: Ceiling, most: int, load: Callable[[], Load | None], hooks: Hooks, clock: Callable[[], float]
    ) -> None:
        self._ceiling, self._most, self._load = ceiling, most, load
        self._hooks, self._clock = hooks, clock
        self._number, self._preemptions, self._told = -1, 0, 0

    def __call__(self, in_flight: int) -> int:
        """The ceiling, with so many tokens in flight. Never blocks."""
        load = self._load()
        tokens = self._most if load is None else self._ceiling.observe(self._clock(), _reading(load, in_flight))
        if load is not None and load.number != self._number:
            self._tell(load)
        if tokens != self._told:
            self._told = tokens
            self._hooks(Event(What.CEILING, count=tokens))
        return tokens

    def _tell(self, load: Load) -> None:
        more = load.preemptions - (self._preemptions if load.number > self._number else 0)
        self._number, self._preemptions = load.number, load.preemptions
        self._hooks(Event(What.ENGINE_LOAD, count=load.waiting, ratio=load.cache_usage))
        if more > 0:
            self._hooks(Event(What.PREEMPTED, count=more))


def _reading(load: Load, in_flight: int) -> Reading:
    return Reading(
        load.number, load.running, load.waiting, load.cache_usage, load.preemptions, in_flight, load.step_tokens
    )
