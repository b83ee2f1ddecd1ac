"""A producer for as long as a program runs: one that failed is replaced."""

import asyncio
import logging
from collections.abc import Callable

from producer.errors import CannotGoOn, Refused, TryLater
from producer.kafka.client import Sender
from schemas.connection import KafkaConnection
from schemas.headers import Headers

log = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
"""Between attempts to connect anew."""
RETRY_SECONDS = 5.0
"""What a caller is told to wait while no broker can be used."""

Tell = Callable[[Refused | TryLater], None]


class Outbox:
    """Sends to one topic. An idempotent producer that has failed once is not used again: its sequence has a gap."""

    def __init__(self, connection: KafkaConnection, topic: str) -> None:
        self._connection, self._topic = connection, topic
        self._sender: Sender | None = None
        self._broken, self._stopping = asyncio.Event(), False

    @property
    def up(self) -> bool:
        """Whether there is a producer to send with."""
        return self._sender is not None and not self._broken.is_set()

    async def start(self) -> None:
        """Connect. Raises CannotGoOn: no broker, or the topic is missing."""
        sender = Sender(self._connection, linger_ms=0)
        await sender.start()
        try:
            await sender.require(self._topic)
        except CannotGoOn:
            await sender.stop()
            raise
        self._sender = sender
        if not self._stopping:
            self._broken.clear()

    async def run(self) -> None:
        """Replace the producer whenever it has failed, until `stop`."""
        try:
            while not self._stopping:
                await self._broken.wait()
                await self._disconnect()
                if not self._stopping:
                    await self._reconnect()
        finally:
            await self._disconnect()

    def stop(self) -> None:
        """Let `run` flush and return."""
        self._stopping = True
        self._broken.set()

    async def send(self, key: bytes, value: bytes, headers: Headers, failed: Tell) -> None:
        """Hand a record over; `failed` is called later if Kafka does not take it. Raises Refused, TryLater."""
        if not self.up or self._sender is None:
            raise TryLater("no broker can be used at the moment", RETRY_SECONDS)
        try:
            delivery = await self._sender.send(self._topic, key, value, headers)
        except CannotGoOn as error:
            raise self._failed(error) from None
        delivery.when_failed(lambda error: failed(self._failed(error)))

    def _failed(self, error: Refused | CannotGoOn) -> Refused | TryLater:
        if not self._stopping and not self._broken.is_set():
            log.warning("a request was not taken, the producer is replaced: %s", error)
        self._broken.set()
        return error if isinstance(error, Refused) else TryLater(str(error), RETRY_SECONDS)

    async def _reconnect(self) -> None:
        try:
            await self.start()
        except CannotGoOn as error:
            log.warning("no producer yet: %s", error)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _disconnect(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            await sender.stop()
