"""Starting and closing aiokafka's clients, whatever state they and the brokers are in."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from aiokafka.errors import KafkaError

from consumer.errors import ConfigError
from schemas.connection import KafkaConnection
from schemas.reachability import why_unreachable

log = logging.getLogger(__name__)

STOP_SECONDS = 10.0


async def started(client: Any, connection: KafkaConnection) -> None:
    """Start a client within the connection's request time-out. ConfigError says why no broker can be used."""
    seconds, address = connection.request_timeout_seconds, connection.bootstrap_servers
    try:
        async with asyncio.timeout(seconds):
            await client.start()
    except (KafkaError, TimeoutError, OSError):
        await closed(client.stop())
        why = await why_unreachable(address)
        raise ConfigError(f"no broker answered at {address} within {seconds:g} s: {why}") from None


async def closed(stop: Coroutine[Any, Any, None]) -> None:
    """Let a client's `stop` run for STOP_SECONDS at most.

    It gets a task of its own: with the broker gone, aiokafka's `stop` raises the CancelledError of tasks that it
    cancelled itself, which would pass for a cancellation of ours. Nothing can be done about what it raises.
    """
    stopping = asyncio.ensure_future(stop)
    done, _ = await asyncio.wait([stopping], timeout=STOP_SECONDS)
    if not done:
        stopping.cancel()
        log.warning("a Kafka client did not stop in time")
    elif stopping.cancelled() or stopping.exception():
        log.warning("a Kafka client did not stop cleanly: its broker is gone, or its session is over")
