"""Starting and closing aiokafka's clients, whatever state they and the brokers are in."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from consumer.errors import ConfigError, RetryLater
from schemas.connection import KafkaConnection
from schemas.reachability import why_unreachable

log = logging.getLogger(__name__)

STOP_SECONDS = 10.0
AUTHORIZATION = (
    TopicAuthorizationFailedError,
    GroupAuthorizationFailedError,
    ClusterAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
"""What a person must allow: see the ACLs in the README."""


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


async def started_or_later(client: Any, connection: KafkaConnection) -> None:
    """Start a client of a member that runs already: RetryLater where no broker answers now, and nothing is left open.

    Raises ConfigError where the credentials are refused.
    """
    try:
        async with asyncio.timeout(connection.request_timeout_seconds):
            await client.start()
    except AUTHORIZATION as error:
        await closed(client.stop())
        raise ConfigError(f"this member may not do its work: {error!r}") from None
    except (KafkaError, TimeoutError, OSError) as error:
        await closed(client.stop())
        raise RetryLater(f"no broker answered: {error!r}") from None
    except BaseException:
        await closed(client.stop())
        raise


async def closed(stop: Coroutine[Any, Any, None], seconds: float = STOP_SECONDS) -> None:
    """Let a client's `stop` run for so many seconds at most.

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
