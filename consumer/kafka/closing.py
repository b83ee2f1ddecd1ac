"""Closing aiokafka's clients, whatever state they and the brokers are in."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)


async def closed(stop: Coroutine[Any, Any, None], seconds: float) -> None:
    """Let a client's `stop` run for at most that long.

    It gets a task of its own: with the broker gone, aiokafka's `stop` raises the CancelledError of tasks that it
    cancelled itself, which would pass for a cancellation of ours. Nothing can be done about what it raises.
    """
    stopping = asyncio.ensure_future(stop)
    done, _ = await asyncio.wait([stopping], timeout=seconds)
    if not done:
        stopping.cancel()
        log.warning("a Kafka client did not stop in time")
    elif stopping.cancelled() or stopping.exception():
        log.warning("a Kafka client did not stop cleanly: its broker is gone, or its session is over")
