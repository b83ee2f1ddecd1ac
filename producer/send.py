"""`review-producer send`: lines in, events out, a report of each line that was not sent."""

import asyncio
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from producer.errors import Refused
from producer.kafka.client import Delivery
from producer.pacing import Pace
from producer.reading import BadLine, Line, ReviewLine
from producer.settings import MAX_IN_FLIGHT
from schemas.headers import EventType, Headers, cloud_event

SOURCE = "review-producer"


@dataclass(slots=True)
class Count:
    """How many lines were sent and acknowledged, and how many were not."""

    sent: int = 0
    bad: int = 0


class Sending(Protocol):
    """What `send_all` needs of a Sender."""

    async def send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> Delivery:
        """Hand one event over. Raises Refused or CannotGoOn."""


class Transmission:
    """One run of `send`: at most `in_flight` events unacknowledged; each bad line goes to `report` once.

    `advance` is told the number of each line that is done with.
    """

    def __init__(
        self,
        sender: Sending,
        topic: str,
        report: Callable[[BadLine], None],
        advance: Callable[[int], None] = lambda _number: None,
    ) -> None:
        self.count = Count()
        self._sender, self._topic, self._report, self._advance = sender, topic, report, advance
        self._run = uuid.uuid4().hex
        self._flying: deque[tuple[int, Delivery]] = deque()

    async def send_all(
        self,
        lines: AsyncIterator[Line],
        pace: Pace | None = None,
        in_flight: int = MAX_IN_FLIGHT,
        clock: Callable[[], float] = time.monotonic,
    ) -> Count:
        """Send every good line, in order; return when all are acknowledged. Raises CannotGoOn."""
        async for line in lines:
            if isinstance(line, BadLine):
                self._bad(line)
                continue
            if pace is not None and (seconds := pace.wait(clock())) > 0:
                await asyncio.sleep(seconds)
            await self._send(line)
            await self._settle(in_flight)
        await self._settle(0)
        return self.count

    async def _send(self, line: ReviewLine) -> None:
        try:
            delivery = await self._sender.send(self._topic, line.key, line.value, self._headers(line.number))
        except Refused as error:
            self._bad(BadLine(line.number, str(error)))
        else:
            self._flying.append((line.number, delivery))

    async def _settle(self, in_flight: int) -> None:
        """Take in what is acknowledged; wait only while more than `in_flight` are not."""
        while self._flying and (len(self._flying) > in_flight or self._flying[0][1].done()):
            number, delivery = self._flying.popleft()
            try:
                await delivery.place()
            except Refused as error:
                self._bad(BadLine(number, str(error)))
            else:
                self.count.sent += 1
                self._advance(number)

    def _bad(self, line: BadLine) -> None:
        self.count.bad += 1
        self._report(line)
        self._advance(line.number)

    def _headers(self, number: int) -> Headers:
        """CloudEvents: the id names this run and the line, so that no two events share one."""
        return cloud_event(f"{self._run}/{number}/review", EventType.REVIEW, SOURCE, datetime.now(UTC))
