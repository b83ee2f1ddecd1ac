"""The cache that all members share, in Redis. While it does not answer it costs nothing: the engine is asked.

Redis' client is imported here and nowhere else, when a REDIS_URL is set.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from consumer.errors import ConfigError
from consumer.hooks.events import Event, Hooks, What
from consumer.stream.outage import Outage
from consumer.stream.retry import RetryPolicy

log = logging.getLogger(__name__)

WAIT_SECONDS = 0.05
"""Bound on one look-up, connecting included: about what the engine takes for a label."""
WRITE_SECONDS = 1.0
KEEP_SECONDS = 30 * 86_400
WAITING_WRITES = 10_000
"""Values that wait to be written; more are not written."""
WRITES_AT_ONCE = 500
PAUSES = RetryPolicy(max_attempts=1, base=1.0, cap=30.0)
"""Between a failure and the next try. Nothing is given up: the attempts do not matter."""
PREFIX = b"review-consumer:1:"


class SharedCache:
    """Never raises, and never waits longer than `WAIT_SECONDS`; after a failure not at all until the pause is over."""

    def __init__(self, url: str, hooks: Hooks, *, clock: Callable[[], float], random: Callable[[], float]) -> None:
        """Raises ConfigError for a URL that is none, and where the client is not installed. Connects to nothing."""
        self._redis, self._errors = _client(url)
        self._hooks, self._clock, self._random = hooks, clock, random
        self._outage = Outage(PAUSES)
        self._asking = 0
        self._writes: asyncio.Queue[tuple[bytes, bytes]] = asyncio.Queue(WAITING_WRITES)
        self._writer: asyncio.Task[None] | None = None

    async def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """What is known of these keys."""
        if not keys or self._writer is None or not self._outage.admits(self._clock(), self._asking):
            return {}
        found = await self._guarded(WAIT_SECONDS, lambda: self._redis.mget([PREFIX + key for key in keys]))
        return {key: value for key, value in zip(keys, found or (), strict=False) if isinstance(value, bytes)}

    def put(self, key: bytes, value: bytes) -> None:
        """Write it soon, or not at all."""
        if self._writer is not None and not self._writes.full():
            self._writes.put_nowait((key, value))

    def start(self) -> None:
        """Write from now on."""
        if self._writer is None:
            self._writer = asyncio.create_task(self._write(), name="write to the shared cache")

    async def stop(self) -> None:
        """Write no more, close the connections. `start` may follow."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.cancel()
            await asyncio.wait([writer], timeout=2 * WRITE_SECONDS)
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._redis.aclose()
        except self._errors as error:
            log.info("the shared cache's connections did not close", extra={"error": type(error).__name__})

    async def _write(self) -> None:
        while self._writer is asyncio.current_task():  # the client may swallow a cancellation
            batch = [await self._writes.get()]
            while not self._writes.empty() and len(batch) < WRITES_AT_ONCE:
                batch.append(self._writes.get_nowait())
            if self._outage.admits(self._clock(), self._asking):
                await self._guarded(WRITE_SECONDS, lambda batch=batch: self._set(batch))  # type: ignore[misc]

    async def _set(self, batch: Sequence[tuple[bytes, bytes]]) -> Any:
        async with self._redis.pipeline(transaction=False) as pipe:
            for key, value in batch:
                pipe.set(PREFIX + key, value, ex=KEEP_SECONDS)
            return await pipe.execute()

    async def _guarded(self, seconds: float, ask: Callable[[], Any]) -> Any:
        """The answer, or None. Whatever goes wrong there is told once, and opens the pause."""
        self._asking += 1
        try:
            async with asyncio.timeout(seconds):
                said = await ask()
        except self._errors as error:
            if not self._outage.reason:
                self._hooks(Event(What.CACHE_DOWN, detail=f"{type(error).__name__}"))
            self._outage.refused(self._clock(), type(error).__name__, None, self._random())
            return None
        finally:
            self._asking -= 1
        if self._outage.answered(self._clock()):
            self._hooks(Event(What.CACHE_UP))
        return said


def _client(url: str) -> tuple[Any, tuple[type[Exception], ...]]:
    """The client, and what it raises."""
    try:
        from redis import RedisError  # noqa: PLC0415 - an extra
        from redis.asyncio import Redis  # noqa: PLC0415 - an extra
        from redis.asyncio.retry import Retry  # noqa: PLC0415 - as above
        from redis.backoff import NoBackoff  # noqa: PLC0415 - as above
    except ImportError as error:
        raise ConfigError(f"REDIS_URL needs redis ({error}): pip install 'review-consumer[redis]'") from error
    try:
        client = Redis.from_url(
            url,
            socket_timeout=WRITE_SECONDS,
            socket_connect_timeout=WRITE_SECONDS,
            retry=Retry(NoBackoff(), 0),
            max_connections=4,
        )
    except ValueError as error:
        raise ConfigError(f"REDIS_URL=(secret): {error}") from None
    return client, (RedisError, OSError, EOFError)  # TimeoutError is an OSError
