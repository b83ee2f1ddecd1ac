"""How many tokens may be in flight, by what the engine says of its load: full, and never short of memory.

The main signal is the engine's own waiting queue. Empty at a reading means that the engine could have taken more;
longer than one step's work means that what waits there would better wait here, where urgent items still overtake it.
Gauges are told after the step in which requests finish, so cache use may read low however full the cache was:
it and preemptions only ever shrink the ceiling, and do so at once.
"""

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True)
class Reading:
    """What the engine said, and what was in flight then."""

    number: int
    """Of the engine's statement: the same number is no news."""
    running: int
    """Requests that the engine works on."""
    waiting: int
    """Requests in its own queue."""
    cache_usage: float
    """Fraction 0 to 1 of its KV cache."""
    preemptions: int
    """Since it started."""
    tokens: int
    """In flight now."""
    step_tokens: int
    """The most that it takes into one step; 0: unknown."""

    @property
    def waiting_tokens(self) -> int:
        """Of what is in flight the queue's share."""
        return self.tokens * self.waiting // max(1, self.running + self.waiting)


@dataclass(frozen=True, slots=True)
class CeilingRules:
    """How it moves. Times in seconds. Raises ValueError where the marks contradict."""

    start_batches: int = 2
    hold_off: float = 0.25
    """Between two changes by the queue, so that the last one shows in the next reading."""
    high_cache: float = 0.9
    """Above it the ceiling shrinks."""
    low_cache: float = 0.75
    """Above it the ceiling does not grow: sequences that run still grow themselves."""
    cut: float = 0.8
    """What is left of what was in flight when memory was short."""
    probe: float = 60.0
    """After memory was short, how long the ceiling stays below where it was so. Then it goes one batch further."""
    probe_max: float = 1800.0
    """While that makes memory short again, it is tried half as often each time, down to once in so long."""

    def __post_init__(self) -> None:
        if not 0 < self.low_cache <= self.high_cache <= 1 or not 0 < self.cut < 1:
            raise ValueError(f"rules need 0 < low_cache <= high_cache <= 1 and 0 < cut < 1: {self}")
        if self.start_batches < 1 or self.hold_off < 0 or not 0 <= self.probe <= self.probe_max:
            raise ValueError(f"rules need start_batches >= 1, no negative time, and probe <= probe_max: {self}")


class Ceiling:
    """Moves between one batch of `batch_tokens` and `max_batches` of them. Times are seconds on one clock."""

    def __init__(self, max_batches: int, batch_tokens: int, rules: CeilingRules) -> None:
        if max_batches < 1 or batch_tokens < 1:
            raise ValueError(f"a ceiling needs a batch of a token at least: {max_batches=}, {batch_tokens=}")
        self._most, self._batch, self._rules = max_batches * batch_tokens, batch_tokens, rules
        self.tokens = min(rules.start_batches, max_batches) * batch_tokens
        """The ceiling."""
        self._peak = 0
        """Most tokens in flight since the last statement."""
        self._number: int | None = None
        self._preemptions = 0
        self._changed = -inf
        self._short_at, self._short_until = inf, -inf
        self._pause, self._probed = rules.probe, False
        """Between two tries to go further; and whether the last one has not made memory short."""

    def observe(self, now: float, reading: Reading) -> int:
        """Take in a reading; gives the ceiling. An engine that was started anew counts from the beginning."""
        self._peak = max(self._peak, reading.tokens)
        if reading.number == self._number:
            return self.tokens
        known = self._number is not None
        self._number = reading.number
        preempted, self._preemptions = reading.preemptions - self._preemptions, reading.preemptions
        if (known and preempted > 0) or reading.cache_usage > self._rules.high_cache:
            self._shrink(now, reading.tokens)
        elif now >= self._changed + self._rules.hold_off:
            self._follow_queue(now, reading)
        self._peak = reading.tokens
        return self.tokens

    def _shrink(self, now: float, in_flight: int) -> None:
        """Once for one shortage: what is above the ceiling already has to come down to it before that tells more."""
        if in_flight > self.tokens and self._short_until > now:
            return
        level = min(self.tokens, max(in_flight, self._batch))
        if self._probed:
            self._pause, self._probed = min(2 * self._pause, self._rules.probe_max), False
        self._short_at, self._short_until = level, now + self._pause
        self._set(now, int(level * self._rules.cut))

    def _follow_queue(self, now: float, reading: Reading) -> None:
        excess = reading.waiting_tokens - max(reading.step_tokens, self._batch)  # no finer than what is admitted
        used = self._peak > self.tokens - self._batch
        if excess > 0:
            self._set(now, min(self.tokens, reading.tokens - excess))
        elif used and not reading.waiting and reading.cache_usage <= self._rules.low_cache:
            grown = self.tokens + self._batch
            if grown >= self._short_at and now >= self._short_until:
                self._probe(now, grown)
            if grown < self._short_at:
                self._set(now, grown)

    def _probe(self, now: float, grown: int) -> None:
        """Reviews change, so what was too much is tried again: by a batch, and by the next after another pause."""
        if self._probed:
            self._pause = max(self._rules.probe, self._pause / 2)
        self._probed = True
        self._short_at, self._short_until = grown + 1, now + self._pause

    def _set(self, now: float, tokens: int) -> None:
        self.tokens = min(max(tokens, self._batch), self._most)
        self._changed = now
