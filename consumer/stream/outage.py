"""When an engine that refuses for now is asked again: after a pause one batch as a probe, once it answers all."""

from consumer.stream.retry import RetryPolicy


class Outage:
    """A circuit breaker without a limit: what waits is safe where it is. Times are seconds on the caller's clock."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._refusals = 0
        self.reason = ""
        """Why nothing is sent; empty where nothing is wrong."""
        self.until = float("-inf")
        """Nothing is sent before."""

    def refused(self, now: float, reason: str, retry_after: float | None, random: float) -> None:
        """The engine refused. Those that were sent together refuse together: they count as one refusal."""
        if now >= self.until:
            self._refusals += 1
        wait = self._policy.delay(self._refusals, random) if retry_after is None else max(0.0, retry_after)
        self.until = max(self.until, now + wait)
        self.reason = reason

    def answered(self, now: float) -> bool:
        """The engine answered: whether that ends the outage. An answer to what was sent before the pause does not."""
        if not self.reason or now < self.until:
            return False
        self._refusals, self.reason = 0, ""
        return True

    def admits(self, now: float, running: int) -> bool:
        """Whether a batch may be sent, with so many running: in an outage one alone, as a probe."""
        return not self.reason or (now >= self.until and running == 0)
