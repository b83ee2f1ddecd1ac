"""What the gateway is made of, and its life: the client, the view, the room, the metrics."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from prometheus_client import CollectorRegistry

from producer.asking import Limits
from producer.background import beside
from producer.client import AnalysisClient
from producer.errors import CannotGoOn
from producer.following import Follower
from producer.gateway.admission import Room
from producer.gateway.view import View
from producer.kafka.tail import Received
from producer.settings import GatewaySettings, Settings
from schemas.http import RestaurantLatest

T = TypeVar("T")


class LatestResults:
    """The view, kept up by a follower; its disk is touched in one thread of its own."""

    def __init__(self, settings: Settings, gateway: GatewaySettings) -> None:
        try:
            self._view = View(settings.topics, gateway.view_dir, gateway.view_max_bytes)
        except OSError as error:
            raise CannotGoOn(f"GATEWAY_VIEW_DIR: the view cannot be made: {error}") from None
        self._thread = ThreadPoolExecutor(1, "view")
        self.follower = Follower(settings.kafka, self._view.topics, self._take, from_beginning=True)

    @property
    def ready(self) -> bool:
        """Whether all that lay in the topics at the start has been read."""
        return self.follower.standing

    @property
    def restaurants(self) -> int:
        """How many are known."""
        return self._view.restaurants()

    @property
    def complete(self) -> bool:
        """Whether an unknown restaurant is one that has no results."""
        return self._view.complete

    @property
    def unreadable(self) -> int:
        """Records left out, since the start."""
        return self._view.unreadable

    async def of(self, restaurant: str) -> RestaurantLatest | None:
        """The latest of one restaurant."""
        return await self._in_thread(lambda: self._view.latest(restaurant))

    async def close(self) -> None:
        """Delete the view."""
        await self._in_thread(self._view.close)
        self._thread.shutdown(wait=False)

    async def _take(self, records: Sequence[Received]) -> None:
        """As many as a poll brings: then a reader gets its turn."""
        await self._in_thread(lambda: self._view.take(records))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that the routes use."""

    settings: GatewaySettings
    client: AnalysisClient
    latest: LatestResults
    room: Room
    registry: CollectorRegistry

    def missing(self) -> list[str]:
        """What keeps the gateway from being ready; nothing when it is."""
        found = [] if self.client.ready else ["Kafka: no producer, or no reader of replies"]
        return found if self.latest.ready else [*found, "the view of the latest results is being read"]


@asynccontextmanager
async def running(settings: Settings, gateway: GatewaySettings) -> AsyncIterator[Parts]:
    """Hold all parts, connected. Raises CannotGoOn: no broker, a topic is missing, no place for the view."""
    limits = Limits(gateway.timeout_seconds, gateway.max_pending_restaurants)
    room = Room(gateway.max_concurrent_requests, gateway.max_bytes_in_flight)
    latest = LatestResults(settings, gateway)
    try:
        async with AnalysisClient(settings.kafka, settings.topics, limits) as client:
            await latest.follower.start()
            async with beside((latest.follower.run, latest.follower.stop)):
                yield Parts(gateway, client, latest, room, CollectorRegistry())
    finally:
        await latest.close()
