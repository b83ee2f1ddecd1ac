"""How fast events go: pure, the time is passed in."""

CATCH_UP_SECONDS = 1.0


class Pace:
    """Spreads events evenly at `rate` a second. After a hold-up it catches up what it missed, one second's worth."""

    def __init__(self, rate: float, now: float) -> None:
        self._interval = 1.0 / rate
        self._next = now

    def wait(self, now: float) -> float:
        """Seconds to wait before the next event may go; counts it as gone."""
        planned = max(self._next, now - CATCH_UP_SECONDS)
        self._next = planned + self._interval
        return max(0.0, planned - now)
