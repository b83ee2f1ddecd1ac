"""Sends events: an idempotent producer, keys placed by murmur2, every wait bounded."""

import asyncio
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from producer.errors import CannotGoOn, Refused
from producer.settings import CONNECT_SECONDS, DELIVERY_SECONDS
from schemas.connection import KafkaConnection
from schemas.headers import Headers
from schemas.reachability import LogInRefused, why_unreachable
from schemas.tokens import TokenSource

MAX_EVENT_BYTES = 1024 * 1024
"""Within Kafka's own limit of a record batch; a larger one is refused here, where it hurts no neighbour."""
BATCH_BYTES = 256 * 1024
"""Of one partition, before whoever sends waits: aiokafka's 16 KiB hold no ten requests of one restaurant each."""
LINGER_MS = 5
"""Of events; whoever waits for an answer sends at once."""
STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where an acknowledged event lies."""

    partition: int
    offset: int


class Delivery:
    """An event on its way."""

    def __init__(self, topic: str, future: "asyncio.Future[Any]") -> None:
        self._topic, self._future = topic, future

    def done(self) -> bool:
        """Whether `place` returns, or raises, at once."""
        return self._future.done()

    async def place(self) -> Place:
        """Wait for the acknowledgement. Raises Refused (this event only) or CannotGoOn (all that follow, too)."""
        await asyncio.wait({self._future}, timeout=DELIVERY_SECONDS)
        if not self._future.done():
            raise CannotGoOn(f"an event was not acknowledged within {DELIVERY_SECONDS:g} s: is the broker overloaded?")
        try:
            acknowledged = self._future.result()
        except KafkaError as error:
            raise _translated(error, self._topic) from None
        return Place(acknowledged.partition, acknowledged.offset)

    def when_failed(self, tell: Callable[[Refused | CannotGoOn], None]) -> None:
        """Call `tell` if the event is not acknowledged, for whoever does not wait for its place."""

        def ended(future: "asyncio.Future[Any]") -> None:
            if future.cancelled():
                tell(CannotGoOn("the producer was stopped before the event was acknowledged"))
            elif (error := future.exception()) is not None:
                known = isinstance(error, KafkaError)
                tell(_translated(error, self._topic) if known else CannotGoOn(f"the event was not sent: {error!r}"))

        self._future.add_done_callback(ended)


class Sender:
    """One producer. `start` connects, `stop` flushes; both are bounded."""

    def __init__(self, connection: KafkaConnection, linger_ms: int = LINGER_MS) -> None:
        self._connection, self._linger_ms = connection, linger_ms
        self._producer: Any = None

    async def start(self) -> None:
        """Connect. Raises CannotGoOn where no broker answers, or the settings cannot be used."""
        self._producer = AIOKafkaProducer(**_options(self._connection, self._linger_ms))
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._producer.start()
        except (KafkaError, TimeoutError) as error:
            await self.stop()
            raise await unreachable(self._connection, error) from None

    async def stop(self) -> None:
        """Flush and disconnect; safe to call twice, and after a failed start."""
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await producer.stop()
            except (KafkaError, TimeoutError):
                return  # what was not acknowledged has been reported by its Delivery

    async def require(self, topic: str) -> None:
        """Raises CannotGoOn where the topic does not exist. It is looked up among all, so as not to create it."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                metadata = await self._producer.client.fetch_all_metadata()
        except (KafkaError, TimeoutError) as error:
            raise await unreachable(self._connection, error) from None
        if topic not in metadata.topics():
            raise _no_topic(topic)

    async def touch(self, topics: Iterable[str]) -> None:
        """Use topics for the first time: a broker that makes topics on demand then makes them."""
        for topic in topics:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await self._producer.partitions_for(topic)
            except (KafkaError, TimeoutError) as error:
                raise await unreachable(self._connection, error) from None

    async def send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> Delivery:
        """Hand one event to the producer; waits where its buffer is full. Raises Refused or CannotGoOn."""
        try:
            future = await self._producer.send(topic, value, key, headers=list(headers))
        except KafkaError as error:
            raise _translated(error, topic) from None
        return Delivery(topic, future)


async def unreachable(connection: KafkaConnection, error: Exception) -> CannotGoOn:
    """Say that no broker could be used, and why."""
    address = connection.bootstrap_servers
    why = await why_unreachable(address, lambda host, port: _dial(connection, host, port), connection.log_in_seconds)
    said = f" ({error})" if "bootstrap" not in str(error) and str(error) else ""
    return CannotGoOn(f"no broker answered at {address} within {CONNECT_SECONDS:g} s: {why}{said}")


def client_options(connection: KafkaConnection) -> dict[str, Any]:
    """Keyword arguments of every client. Raises CannotGoOn where a certificate file cannot be used."""
    try:
        options = connection.client_options()
    except (OSError, ValueError) as error:
        raise CannotGoOn(f"the settings KAFKA_SSL_... cannot be used: {error}") from None
    tokens = connection.token_source()
    return options | ({"sasl_oauth_token_provider": _Tokens(tokens)} if tokens else {})


class _Tokens(AbstractTokenProvider):  # type: ignore[misc] # aiokafka ships no types
    """Our tokens in the form that aiokafka takes: it asks at each log-in, and never again on the same connection."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source

    async def token(self) -> str:
        return await self._source.token()


async def _dial(connection: KafkaConnection, host: str, port: int) -> None:
    """Log in as a client does, and ask one thing; LogInRefused where the broker does not want this client."""
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


async def _log_in(connection: KafkaConnection, host: str, port: int) -> None:
    options = {name: value for name, value in client_options(connection).items() if name != "bootstrap_servers"}
    dialled = await create_conn(host, port, **options)
    try:
        answer = await dialled.send(MetadataRequest([]))
    finally:
        await dialled.close()
    if not answer.brokers:  # how the broker answers when it waits for the client to take note of its refusal
        raise LogInRefused("it answers nothing after the log-in, which is how a token is not accepted")


def _options(connection: KafkaConnection, linger_ms: int) -> dict[str, Any]:
    return client_options(connection) | {
        "acks": "all",
        "enable_idempotence": True,
        "linger_ms": linger_ms,
        "max_batch_size": BATCH_BYTES,
        "max_request_size": MAX_EVENT_BYTES,
    }


def _translated(error: KafkaError, topic: str) -> Refused | CannotGoOn:
    if isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError):
        return Refused(f"the event is larger than {MAX_EVENT_BYTES} bytes with its headers, or than the topic allows")
    if isinstance(error, UnknownTopicOrPartitionError):
        return _no_topic(topic)
    if isinstance(error, TopicAuthorizationFailedError):
        return CannotGoOn(f"this user may not write to the topic {topic}: an ACL for WRITE is missing")
    return CannotGoOn(f"the broker did not take an event: {type(error).__name__}: {error}")


def _no_topic(topic: str) -> CannotGoOn:
    return CannotGoOn(f"topic {topic} does not exist; create it with `review-consumer topics create`")
