"""Who is asking what right now: equal items run once."""

import asyncio
from collections.abc import Iterable

from consumer.engines.contract import Answer

Flight = asyncio.Future[Answer | None]
"""Comes to the answer, or to None: whoever led did not get one, and another one may lead."""


class Flights:
    """The questions that are with the engine, by their keys."""

    def __init__(self) -> None:
        self._flights: dict[bytes, Flight] = {}

    def __len__(self) -> int:
        """Questions with the engine."""
        return len(self._flights)

    def get(self, key: bytes) -> Flight | None:
        """The flight to wait for; None where nobody asks this."""
        return self._flights.get(key)

    def lead(self, keys: Iterable[bytes]) -> dict[bytes, Flight]:
        """Ask these; in the same step in which `get` gave None. Whoever leads lands each, whatever happens."""
        loop = asyncio.get_running_loop()
        led: dict[bytes, Flight] = {key: loop.create_future() for key in keys}
        self._flights |= led
        return led

    def land(self, key: bytes, flight: Flight, answer: Answer | None) -> None:
        """Tell those who wait. Once; then nothing happens: the key may be another's flight by then."""
        if not flight.done():
            del self._flights[key]
            flight.set_result(answer)
