"""The broker's fixtures: `kafka`, one a session; `make_topic`, topics a test; `make_broker`, a broker of one's own.

Without any broker the tests that ask for one are skipped with the reason; in CI they fail.
"""

from __future__ import annotations

import asyncio
import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import NoReturn, Protocol, TypeVar

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.kafka.broker import Broker
from deploy.kafka.errors import Unavailable
from deploy.kafka.jars import DEFAULT_CACHE
from deploy.kafka.sources import External, Kafka, in_ci, java_broker, open_kafka

_T = TypeVar("_T")
_TOPIC_SECONDS = 15.0


class MakeTopic(Protocol):
    """The `make_topic` fixture."""

    async def __call__(self, name_hint: str, partitions: int = 4, config: Mapping[str, str] | None = None) -> str:
        """Create a topic of this test's own with one replica; return its name when each partition has a leader."""


class MakeBroker(Protocol):
    """The `make_broker` fixture."""

    def __call__(self, settings: Mapping[str, str] | None = None) -> Broker:
        """Start a broker of this test's own, with further lines of server.properties; it is closed after the test."""


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """The session's Kafka, answering at `kafka.bootstrap_servers`; stopped at the session's end if we started it."""
    running = _had(lambda: open_kafka(os.environ))
    try:
        yield running
    finally:
        running.close()


@pytest.fixture
def topic_prefix(request: pytest.FixtureRequest) -> str:
    """A prefix for topic names that no other test has, the test's name in it; ends in a full stop."""
    name = re.sub(r"[^A-Za-z0-9-]+", "-", request.node.name).strip("-")[:80]
    return f"{name}-{uuid.uuid4().hex[:8]}."


@pytest.fixture
def make_topic(kafka: Kafka, topic_prefix: str, _topics_made: list[str]) -> MakeTopic:
    """Topics of this test's own: called with a hint and a partition count, it returns the topic's full name."""

    async def make(name_hint: str, partitions: int = 4, config: Mapping[str, str] | None = None) -> str:
        name = f"{topic_prefix}{name_hint}"
        await create_topic(kafka.bootstrap_servers, name, partitions, config or {})
        _topics_made.append(name)
        return name

    return make


@pytest.fixture(scope="session")
def java_kafka() -> None:
    """For tests that start a broker on this machine's Java: makes sure that it can be done."""
    _had(lambda: java_broker(DEFAULT_CACHE))


@pytest.fixture
def make_broker(java_kafka: None) -> Iterator[MakeBroker]:  # noqa: ARG001 - asked for its effect
    """Start brokers of this test's own on this machine's Java, to be stopped, killed and restarted at will."""
    with ExitStack() as closed:

        def make(settings: Mapping[str, str] | None = None) -> Broker:
            broker = java_broker(DEFAULT_CACHE, settings=settings)
            closed.callback(broker.close)
            broker.start()
            return broker

        yield make


async def create_topic(bootstrap_servers: str, name: str, partitions: int, config: Mapping[str, str]) -> None:
    """Create a topic with one replica and wait until every partition has a leader; raises RuntimeError if refused."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        topic = NewTopic(name, partitions, replication_factor=1, topic_configs=dict(config))
        answer = await admin.create_topics([topic])
        for _, code, *message in answer.topic_errors:
            if code:
                raise RuntimeError(f"topic {name} was refused with error {code}: {message}")
        async with asyncio.timeout(_TOPIC_SECONDS):
            while not await _has_leaders(admin, name, partitions):
                await asyncio.sleep(0.02)
    finally:
        await admin.close()


@pytest.fixture(scope="session")
def _topics_made(kafka: Kafka) -> Iterator[list[str]]:
    """The topics that tests made. Deleted only at the end: a client still running hangs when its topic goes."""
    made: list[str] = []
    yield made
    if made and isinstance(kafka, External):  # the others take their topics with them
        asyncio.run(_delete_topics(kafka.bootstrap_servers, made))


async def _delete_topics(bootstrap_servers: str, names: list[str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        await admin.delete_topics(names)
    finally:
        await admin.close()


async def _has_leaders(admin: AIOKafkaAdminClient, name: str, partitions: int) -> bool:
    """Say whether the broker's own view of the topic is complete; it trails the controller's by a moment."""
    (topic,) = await admin.describe_topics([name])
    led = [partition for partition in topic["partitions"] if partition["leader"] >= 0]
    return topic["error_code"] == 0 and len(led) == partitions


def _had(get: Callable[[], _T]) -> _T:
    try:
        return get()
    except Unavailable as reason:
        _do_without(f"no Kafka broker: {reason}")


def _do_without(reason: str) -> NoReturn:
    if in_ci(os.environ):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
