"""What the process says of itself: alive while the poll loop turns, ready while it takes records."""

from collections.abc import Callable


class Health:
    """Written by the service, read by the HTTP thread: every field is replaced whole, never changed in place."""

    def __init__(self, clock: Callable[[], float], stall_seconds: float) -> None:
        self._clock, self._stall = clock, stall_seconds
        self._polled = clock()
        self._not_ready: tuple[str, ...] = ("starting",)

    def polled(self) -> None:
        """The poll loop has turned once more."""
        self._polled = self._clock()

    def not_ready(self, *reasons: str) -> None:
        """Why records are not taken; no reason: they are."""
        self._not_ready = reasons

    def live(self) -> tuple[bool, tuple[str, ...]]:
        """Whether the loop turns. A stuck one should be restarted."""
        silent = self._clock() - self._polled
        return silent < self._stall, () if silent < self._stall else (f"the poll loop has stood for {silent:.0f} s",)

    def ready(self) -> tuple[bool, tuple[str, ...]]:
        """Whether records are taken. Not being ready is no reason for a restart."""
        reasons = self._not_ready
        return not reasons, reasons
