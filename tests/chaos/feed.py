"""The steady producer: idempotent, and patient with a broker that is away."""

import asyncio
import time
from typing import Any

from aiokafka import AIOKafkaProducer

from tests.chaos.traffic import Traffic

_TICK_SECONDS = 0.05
_PATIENCE_SECONDS = 60.0
"""On one request, the broker's absence in it: far longer than any outage."""


class Feed:
    """Sends `rate` records a second, acknowledged by all replicas; what an outage held up is sent after it."""

    def __init__(self, bootstrap_servers: str, topic: str, traffic: Traffic, rate: float) -> None:
        self._topic, self._traffic, self._rate = topic, traffic, rate
        self._producer: Any = AIOKafkaProducer(
            bootstrap_servers=bootstrap_servers,
            acks="all",
            enable_idempotence=True,
            linger_ms=20,
            request_timeout_ms=int(_PATIENCE_SECONDS * 1000),
        )
        self.acknowledged = 0
        self.refused: list[str] = []
        """Errors of sends: none must fail."""

    async def run(self, seconds: float) -> None:
        """Send for so long, then wait, within bounds, until all is acknowledged."""
        await self._producer.start()
        try:
            started = time.monotonic()
            while (elapsed := time.monotonic() - started) < seconds:
                while self._traffic.made < self._rate * elapsed:
                    await self._send()
                await asyncio.sleep(_TICK_SECONDS)
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._producer.flush()
        finally:
            await self._producer.stop()

    async def _send(self) -> None:
        message = self._traffic.next()
        sent: asyncio.Future[Any] = await self._producer.send(
            self._topic, key=message.key, value=message.value, headers=list(message.headers)
        )
        sent.add_done_callback(self._settled)

    def _settled(self, sent: "asyncio.Future[Any]") -> None:
        if sent.cancelled() or (error := sent.exception()) is None:
            self.acknowledged += not sent.cancelled()
        else:
            self.refused.append(repr(error))
