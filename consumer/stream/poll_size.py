"""How many records a poll may bring."""

OFFER_SECONDS = 0.01
"""For which taking in one poll's records may hold the event loop, nearly: nothing is sent or answered meanwhile."""
FEWEST = 8
"""Records of a poll, however slow they seem: a poll costs something by itself."""


class PollSize:
    """Learns what taking in a record costs: a batch request asks many questions, a review one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._each = OFFER_SECONDS / FEWEST

    @property
    def records(self) -> int:
        """Of the next poll, at most."""
        return min(self._most, max(FEWEST, int(OFFER_SECONDS / self._each)))

    def took(self, records: int, seconds: float) -> None:
        """Taking in so many took so long. What is slow now counts at once, what is fast half."""
        if records and seconds > 0:
            each = seconds / records
            self._each = max(each, (self._each + each) / 2)
