"""What the process says of itself: alive while both loops turn, ready while it takes records."""

from collections.abc import Callable

READY_SECONDS = 10.0
"""Silence of the event loop after which what it said last is not believed."""


class Health:
    """Written by the service, read by the HTTP thread: every field is replaced whole, never changed in place."""

    def __init__(self, clock: Callable[[], float], stall_seconds: float) -> None:
        self._clock, self._stall = clock, stall_seconds
        self._polled = self._ticked = clock()
        self._not_ready: tuple[str, ...] = ("starting",)
        self.late = 0.0
        """Seconds by which the event loop's last tick came late."""

    def polled(self) -> None:
        """The poll loop has turned once more."""
        self._polled = self._clock()

    def ticked(self, late: float) -> None:
        """The event loop has turned, so many seconds late."""
        self._ticked, self.late = self._clock(), late

    def not_ready(self, *reasons: str) -> None:
        """Why records are not taken; no reason: they are."""
        self._not_ready = reasons

    @property
    def poll_age(self) -> float:
        """Seconds since the poll loop turned."""
        return self._clock() - self._polled

    def live(self) -> tuple[bool, tuple[str, ...]]:
        """Whether the loops turn. A stuck one should be restarted. A poll stands still through a rebalance."""
        reasons = (*self._silent(self._stall), *self._stands("poll loop", self.poll_age, self._stall))
        return not reasons, reasons

    def ready(self) -> tuple[bool, tuple[str, ...]]:
        """Whether records are taken. Not being ready is no reason for a restart."""
        reasons = (*self._not_ready, *self._silent(READY_SECONDS))
        return not reasons, reasons

    def _silent(self, seconds: float) -> tuple[str, ...]:
        return self._stands("event loop", self._clock() - self._ticked, seconds)

    @staticmethod
    def _stands(loop: str, silence: float, most: float) -> tuple[str, ...]:
        return (f"the {loop} has stood for {silence:.0f} s",) if silence >= most else ()
