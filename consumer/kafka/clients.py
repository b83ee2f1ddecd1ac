"""Starting and closing aiokafka's clients, whatever state they and the brokers are in."""

import asyncio
import logging
import ssl
from collections.abc import Coroutine
from typing import Any

from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import create_conn
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from consumer.errors import ConfigError, RetryLater
from schemas.connection import KafkaConnection
from schemas.reachability import LogInRefused, why_unreachable
from schemas.tokens import TokenSource

log = logging.getLogger(__name__)

STOP_SECONDS = 10.0
NOT_ALLOWED = (
    TopicAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    ClusterAuthorizationFailedError,
)
"""The broker knows this user, and an ACL is missing."""

_NEEDED = {
    TopicAuthorizationFailedError: "Describe, and Read or Write, on the topic",
    GroupAuthorizationFailedError: "Read on the group",
    TransactionalIdAuthorizationFailed: "Write and Describe on the transactional id",
    ClusterAuthorizationFailedError: "IdempotentWrite on the cluster",
}


class Unreachable(ConfigError):  # noqa: N818 - the state it tells of
    """No broker answered in time: the one ConfigError that waiting may help."""


def client_options(connection: KafkaConnection) -> dict[str, Any]:
    """Keyword arguments of every client. Raises ConfigError where a certificate file cannot be used."""
    try:
        options = connection.client_options()
    except (OSError, ValueError) as error:
        raise ConfigError(f"the settings KAFKA_SSL_... cannot be used: {error}") from None
    tokens = connection.token_source()
    return options | ({"sasl_oauth_token_provider": _Tokens(tokens)} if tokens else {})


async def started(client: Any, connection: KafkaConnection) -> None:
    """Start a client within the connection's request time-out.

    Raises Unreachable, which says why no broker can be used, or ConfigError, which names the ACL that is missing.
    """
    seconds, address = connection.request_timeout_seconds, connection.bootstrap_servers
    try:
        async with asyncio.timeout(seconds):
            await client.start()
    except NOT_ALLOWED as error:
        await closed(client.stop())
        raise ConfigError(missing_acl(error)) from None
    except (KafkaError, TimeoutError, OSError):
        await closed(client.stop())
        why = await why_no_broker(connection)
        raise Unreachable(f"no broker answered at {address} within {seconds:g} s: {why}") from None


async def why_no_broker(connection: KafkaConnection) -> str:
    """Dial the first broker as a client does, and say what it has against it."""

    async def dial(host: str, port: int) -> None:
        try:
            await _log_in(connection, host, port)
        except UnsupportedSaslMechanismError:
            raise LogInRefused(f"it does not take KAFKA_SASL_MECHANISM={connection.sasl_mechanism}") from None
        except (SaslAuthenticationFailed, IllegalSaslStateError) as error:
            raise LogInRefused(str(error.args[0]) if error.args else str(error)) from None
        except KafkaConnectionError as error:
            if connection.token_source() and not isinstance(error.__cause__, ssl.SSLError):
                raise LogInRefused("it hangs up, which is how a token is not accepted") from None
            raise

    return await why_unreachable(connection.bootstrap_servers, dial, connection.log_in_seconds)


async def _log_in(connection: KafkaConnection, host: str, port: int) -> None:
    """Log in and ask one thing: a token is refused only then."""
    options = {name: value for name, value in client_options(connection).items() if name != "bootstrap_servers"}
    dialled = await create_conn(host, port, **options)
    try:
        answer = await dialled.send(MetadataRequest([]))
    finally:
        await dialled.close()
    if not answer.brokers:  # how the broker answers when it waits for the client to take note of its refusal
        raise LogInRefused("it answers nothing after the log-in, which is how a token is not accepted")


def missing_acl(error: KafkaError) -> str:
    """Say which ACL a refused request needs."""
    needed = next(acl for kind, acl in _NEEDED.items() if isinstance(error, kind))
    names = ", ".join(str(name) for name in error.args) or "(the broker does not say which)"
    return f"this user is not allowed that: an ACL is missing, {needed} {names}; the README lists all"


async def started_or_later(client: Any, connection: KafkaConnection) -> None:
    """Start a client of a member that runs already: RetryLater where no broker answers now, and nothing is left open.

    Raises ConfigError where the credentials are refused.
    """
    try:
        async with asyncio.timeout(connection.request_timeout_seconds):
            await client.start()
    except NOT_ALLOWED as error:
        await closed(client.stop())
        raise ConfigError(missing_acl(error)) from None
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


class _Tokens(AbstractTokenProvider):  # type: ignore[misc] # aiokafka ships no types
    """Our tokens in the form that aiokafka takes: it asks at each log-in, and never again on the same connection."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source

    async def token(self) -> str:
        return await self._source.token()
