"""Whether anybody answers requests at all: pure, the time is passed in."""


class Silence:
    """Silent from a request that ended without any reply, though it was asked after the last sign of life.

    While it is silent one request at a time is let through, every `probe_seconds`, to find out whether that is over.
    Any reply counts as a sign of life, one to another client too.
    """

    def __init__(self, probe_seconds: float) -> None:
        self._probe_seconds = probe_seconds
        self._heard = float("-inf")
        self._next_probe: float | None = None

    @property
    def silent(self) -> bool:
        """Whether requests are answered by nobody, as far as is known."""
        return self._next_probe is not None

    def hear(self, now: float) -> None:
        """Note a reply."""
        self._heard, self._next_probe = now, None

    def unanswered(self, asked: float, now: float) -> None:
        """Note that a request asked at `asked` has had its whole time without any reply."""
        if self._heard <= asked and not self.silent:
            self._next_probe = now

    def wait(self, now: float) -> float:
        """Seconds until a request may be tried, 0 to try it now; then it is counted as tried."""
        if self._next_probe is None:
            return 0.0
        if now < self._next_probe:
            return self._next_probe - now
        self._next_probe = now + self._probe_seconds
        return 0.0
