"""Asks the engine for its load, and sets the ceiling of tokens in flight by it."""

from collections.abc import Callable

from consumer.engines.contract import Load
from consumer.stream.ceiling import Ceiling, Reading


class Regulator:
    """Gives the ceiling: the adaptive one, or `most` tokens where the engine tells nothing of its load."""

    def __init__(
        self, ceiling: Ceiling, most: int, load: Callable[[], Load | None], clock: Callable[[], float]
    ) -> None:
        self._ceiling, self._most, self._load, self._clock = ceiling, most, load, clock

    def __call__(self, in_flight: int) -> int:
        """The ceiling, with so many tokens in flight. Never blocks."""
        load = self._load()
        return self._most if load is None else self._ceiling.observe(self._clock(), _reading(load, in_flight))


def _reading(load: Load, in_flight: int) -> Reading:
    return Reading(
        load.number, load.running, load.waiting, load.cache_usage, load.preemptions, in_flight, load.step_tokens
    )
