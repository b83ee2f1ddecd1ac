"""An engine behind the result cache keeps the contract of the engine itself, with and without a shared cache."""

from collections.abc import AsyncIterator

import pytest

from consumer.cache.engine import CachingEngine
from consumer.cache.keys import Identity
from consumer.cache.memory import MemoryCache
from consumer.cache.shared import SharedCache
from consumer.engines.contract import Engine
from consumer.engines.local.engine import LocalEngine
from consumer.hooks.events import Hooks
from tests.contract.engine_suite import EngineSuite
from tests.redis_server import RedisServer


class TestCachedLocalEngine(EngineSuite):
    """In memory alone."""

    def make(self) -> Engine:
        """Around the embedded engine."""
        return CachingEngine(LocalEngine(), Identity("local", "test"), MemoryCache(10_000_000), None, Hooks())


class TestSharedCachedLocalEngine(EngineSuite):
    """With a Redis."""

    @pytest.fixture
    async def engine(self, redis_server: RedisServer) -> AsyncIterator[Engine]:
        """Each with a memory of its own, so that what one test answers another one finds in Redis only."""
        shared = SharedCache(redis_server.url, Hooks(), clock=lambda: 0.0, random=lambda: 0.5)
        made = CachingEngine(LocalEngine(), Identity("local", "test"), MemoryCache(10_000_000), shared, Hooks())
        await made.start()
        yield made
        await made.stop()

    def make(self) -> Engine:
        """One that is never started."""
        return LocalEngine()
