"""When so many records fail by our own fault that taking more would only make more dead letters.

A circuit breaker (Nygard, Release It!, 2007) over the last outcomes. Only failures that are ours are told to it: the
engine's, or Kafka's refusal of what we publish. A record that cannot be read is its upstream's, and never counts.
"""

from collections import deque
from dataclasses import dataclass, field

from consumer.stream.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When to stop, and how to go on. Raises ValueError where the numbers contradict."""

    share: float = 0.5
    """More than this fraction of the last records failed: stop. 1: never."""
    window: int = 100
    """The last records that are looked at."""
    least: int = 20
    """Fewer than so many decide nothing."""
    pause: RetryPolicy = field(default_factory=lambda: RetryPolicy(base=1.0, cap=60.0))
    """Before each probe; it grows while probes fail, and while success does not last for a whole window."""

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or not 1 <= self.least <= self.window:
            raise ValueError(f"need 0 < share <= 1 and 1 <= least <= window: {self}")


class Breaker:
    """Closed: all goes on. Open: nothing but a probe of one record after each pause. Times are seconds on one clock."""

    def __init__(self, rules: BreakerRules) -> None:
        self._rules = rules
        self._last: deque[bool] = deque(maxlen=rules.window)
        """Whether each of the last records failed."""
        self._failed = 0
        self._refusals = 0
        """Pauses in a row: openings and failed probes since all was well for a whole window."""
        self.reason = ""
        """Why nothing is taken; empty while it is closed."""
        self.until = float("-inf")
        """No probe before."""

    def admits(self, now: float, running: int) -> bool:
        """Whether a record may be tried, with so many being tried: when open one alone, after the pause."""
        return not self.reason or (now >= self.until and running == 0)

    def pauses(self, now: float) -> bool:
        """Whether what fails now was tried before it opened: that says nothing new, and costs its record nothing."""
        return bool(self.reason) and now < self.until

    def succeeded(self, now: float, count: int = 1) -> bool:
        """So many records have their results: whether that ends an opening. One that was tried before does not."""
        if self.reason:
            if now < self.until:
                return False
            self.reason = ""
            return True
        for _ in range(min(count, self._rules.window)):
            self._take(failed=False)
        if self._failed == 0 and len(self._last) == self._rules.window:
            self._refusals = 0
        return False

    def failed(self, now: float, why: str, random: float) -> bool:
        """One record has failed, or a probe has: whether that opened it. `random` is uniform in [0, 1)."""
        if self.reason:
            if now >= self.until:
                self._pause(now, why, random)
            return False
        self._take(failed=True)
        if len(self._last) < self._rules.least or self._failed <= self._rules.share * len(self._last):
            return False
        self._pause(now, f"{self._failed} of the last {len(self._last)} records failed, the last: {why}", random)
        self._last.clear()
        self._failed = 0
        return True

    def _pause(self, now: float, reason: str, random: float) -> None:
        self._refusals += 1
        self.reason = reason
        self.until = now + self._rules.pause.delay(self._refusals, random)

    def _take(self, *, failed: bool) -> None:
        if len(self._last) == self._rules.window:
            self._failed -= self._last[0]
        self._last.append(failed)
        self._failed += failed
