"""The steady producer: idempotent, and patient with a broker that is away."""

import asyncio
import time
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.chaos.traffic import Traffic

_TICK_SECONDS = 0.05
_PATIENCE_SECONDS = 180.0
"""On one record, the broker's absence in it: far longer than any outage, on a busy machine too."""


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
        self._enough = False

    def stop(self) -> None:
        """Send no more; `run` returns when all is acknowledged."""
        self._enough = True

    async def run(self) -> None:
        """Send until stopped, then wait, within bounds, until all is acknowledged."""
        await self._producer.start()
        try:
            started = time.monotonic()
            while not self._enough:
                while self._traffic.made < self._rate * (time.monotonic() - started):
                    await self._send()
                await asyncio.sleep(_TICK_SECONDS)
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._producer.flush()
        finally:
            await self._producer.stop()

    async def _send(self) -> None:
        message = self._traffic.next()
        try:
            sent: asyncio.Future[Any] = await self._producer.send(
                self._topic, key=message.key, value=message.value, headers=list(message.headers)
            )
        except KafkaError as error:
            self.refused.append(repr(error))
            return
        sent.add_done_callback(self._settled)

    def _settled(self, sent: "asyncio.Future[Any]") -> None:
        if sent.cancelled() or (error := sent.exception()) is None:
            self.acknowledged += not sent.cancelled()
        else:
            self.refused.append(repr(error))
