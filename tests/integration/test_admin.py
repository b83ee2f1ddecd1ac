"""Topics on a real broker: created, left as they are, compared; and what is said when there is no broker."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from typer.testing import CliRunner

from consumer.cli import topics as topics_cli
from consumer.errors import ConfigError
from consumer.kafka import admin
from consumer.kafka.admin import check, create
from consumer.kafka.clients import Unreachable
from deploy.kafka.sources import Kafka
from producer.embedded import embedded_broker
from schemas.connection import KafkaConnection
from schemas.topics import TopicNames, TopicSpec, topic_specs
from tests.kafka_broker import MakeBroker, create_topic

FIELDS = sorted(TopicNames.model_fields)


@pytest.fixture
def names(topic_prefix: str) -> TopicNames:
    """Topic names of this test's own."""
    return TopicNames.model_validate({field: f"{topic_prefix}{field}" for field in FIELDS})


@pytest.fixture
def specs(names: TopicNames, topic_prefix: str) -> tuple[TopicSpec, ...]:
    """All topics of this test's own."""
    return topic_specs(names, f"{topic_prefix}group")


@pytest.fixture
def connection(kafka: Kafka) -> KafkaConnection:
    """The session's broker."""
    return at(kafka.bootstrap_servers)


def at(address: str) -> KafkaConnection:
    """Make the settings for a broker without log-in."""
    return KafkaConnection.model_construct(bootstrap_servers=address)


@asynccontextmanager
async def client(connection: KafkaConnection) -> AsyncIterator[Any]:
    """Hold an admin client of the test's own, to look or to meddle."""
    admin = AIOKafkaAdminClient(bootstrap_servers=connection.bootstrap_servers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def partition_counts(connection: KafkaConnection) -> dict[str, int]:
    """Ask for every topic's partitions."""
    async with client(connection) as admin:
        return {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}


async def setting(connection: KafkaConnection, topic: str, name: str) -> str:
    """Ask for one setting of a topic."""
    async with client(connection) as admin:
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    found: dict[str, str] = dict(entry[:2] for entry in answer.resources[0][4])
    return found[name]


async def alter(connection: KafkaConnection, topic: str, config: Mapping[str, str]) -> None:
    """Change a topic's settings."""
    async with client(connection) as admin:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, dict(config))])


async def test_create_sets_up_every_topic_and_the_check_passes(
    connection: KafkaConnection, specs: tuple[TopicSpec, ...], names: TopicNames
) -> None:
    """All eleven, with their partitions, cleanup and size; nothing is left to complain about."""
    done = await create(connection, specs, partitions=3)
    assert set(done.created) == {spec.name for spec in specs}
    assert done.existing == ()
    assert (done.report.problems, done.report.left_out) == ((), ())
    assert done.report.partitions == {spec.name: 3 for spec in specs}
    counts = await partition_counts(connection)
    assert {counts[spec.name] for spec in specs} == {3}
    assert await setting(connection, names.summary, "cleanup.policy") == "compact"
    assert await setting(connection, names.dlq, "max.message.bytes") == str(1_048_588 + 65_536)
    assert (await check(connection, specs)).problems == ()


async def test_create_twice_changes_nothing(connection: KafkaConnection, specs: tuple[TopicSpec, ...]) -> None:
    """Another number of partitions is not applied to what exists."""
    await create(connection, specs, partitions=2)
    again = await create(connection, specs, partitions=5)
    assert again.created == ()
    assert again.report.problems == ()
    assert set(again.report.partitions.values()) == {2}


async def test_create_follows_a_reviews_topic_that_upstream_made(
    connection: KafkaConnection, specs: tuple[TopicSpec, ...], names: TopicNames
) -> None:
    """Its partition count and its size limit decide those of the topics that depend on it."""
    await create_topic(connection.bootstrap_servers or "", names.reviews, 5, {"max.message.bytes": "3000000"})
    done = await create(connection, specs, partitions=2)
    assert done.existing == (names.reviews,)
    assert done.report.problems == ()
    assert done.report.partitions[names.sentiment] == 5
    assert done.report.partitions[names.strength] == 2
    assert await setting(connection, names.dlq, "max.message.bytes") == str(3_000_000 + 65_536)


async def test_check_finds_what_is_missing_and_creates_nothing(
    connection: KafkaConnection, specs: tuple[TopicSpec, ...]
) -> None:
    """A check only looks."""
    report = await check(connection, specs)
    assert [problem.topic for problem in report.problems] == [spec.name for spec in specs]
    assert "does not exist; create it with `review-consumer topics create`" in str(report.problems[0])
    assert not {spec.name for spec in specs} & (await partition_counts(connection)).keys()


async def test_check_creates_nothing_on_a_broker_that_creates_topics_at_first_use(
    make_broker: MakeBroker, specs: tuple[TopicSpec, ...]
) -> None:
    """Kafka's default is `auto.create.topics.enable`: asking for a topic by its name would make it."""
    broker = at(make_broker({"auto.create.topics.enable": "true"}).bootstrap_servers)
    assert len((await check(broker, specs)).problems) == len(specs)
    assert await partition_counts(broker) == {}


async def test_check_finds_uneven_partitions_wrong_cleanup_and_a_small_limit(
    connection: KafkaConnection, specs: tuple[TopicSpec, ...], names: TopicNames
) -> None:
    """Each of the three comparisons, as an operator might have spoiled it."""
    await create_topic(connection.bootstrap_servers or "", names.sentiment, 1, {})
    await create(connection, specs, partitions=2)
    await alter(connection, names.totals, {"cleanup.policy": "delete"})
    await alter(connection, names.dlq, {"cleanup.policy": "delete", "max.message.bytes": "1048588"})
    problems = {problem.topic: problem.message for problem in (await check(connection, specs)).problems}
    assert set(problems) == {names.sentiment, names.totals, names.dlq}
    assert problems[names.sentiment].startswith(f"has 1 partitions, {names.reviews} has 2")
    assert problems[names.totals].startswith("has cleanup.policy=delete, compact is needed")
    assert problems[names.dlq].startswith("has max.message.bytes=1048588, 1114124 is needed")


async def test_a_refused_topic_is_named_with_the_brokers_reason(
    connection: KafkaConnection, specs: tuple[TopicSpec, ...]
) -> None:
    """More replicas than brokers: Kafka says so, and we say for which topic."""
    with pytest.raises(ConfigError, match=r"topic \S+ could not be created: .*replication"):
        await create(connection, specs, partitions=1, replication_factor=99)


async def test_two_creators_at_once_do_not_hurt_each_other(
    connection: KafkaConnection, specs: tuple[TopicSpec, ...]
) -> None:
    """A topic that somebody else was quicker to create is simply there."""
    done = await asyncio.gather(*(create(connection, specs, partitions=2) for _ in range(3)))
    assert [result.report.problems for result in done] == [(), (), ()]


async def test_an_existing_topic_is_a_problem_only_where_it_differs(
    connection: KafkaConnection, topic_prefix: str
) -> None:
    """A topic of somebody else's making passes if it is as it must be."""
    spec = TopicSpec(f"{topic_prefix}made-elsewhere", config={"cleanup.policy": "delete"})
    await create_topic(connection.bootstrap_servers or "", spec.name, 1, {})
    done = await create(connection, [spec], partitions=9)
    assert (done.created, done.existing, done.report.problems) == ((), (spec.name,), ())


async def test_nothing_listening_is_said_at_once() -> None:
    """The address and the reason are in the message; the wait is short, there is nothing to wait for."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started = time.monotonic()
    with pytest.raises(Unreachable, match=rf"no broker answered at 127\.0\.0\.1:{port} within 3 s: nothing listens"):
        await check(at(f"127.0.0.1:{port}"), [TopicSpec("t", config={"cleanup.policy": "delete"})], seconds=3)
    assert time.monotonic() - started < 3


async def test_something_else_listening_ends_within_the_bound() -> None:
    """A server that accepts and never speaks Kafka: the call ends after its seconds, and says what to check."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        broker = at(f"127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(Unreachable, match="KAFKA_SECURITY_PROTOCOL"):
            await check(broker, [TopicSpec("t", config={"cleanup.policy": "delete"})], seconds=1)
        assert time.monotonic() - started < 5


async def test_a_broker_that_is_killed_meanwhile_went_away_and_refused_nothing(make_broker: MakeBroker) -> None:
    """Waiting may help, so it must not read like a refusal."""
    broker = make_broker()

    async def ask_the_killed() -> None:
        async with admin._opened(at(broker.bootstrap_servers), seconds=10) as client:
            await asyncio.to_thread(broker.kill)
            await admin._partition_counts(client)

    with pytest.raises(Unreachable, match=rf"^(the broker|no broker answered) at {broker.bootstrap_servers} "):
        await ask_the_killed()


async def test_a_certificate_file_that_is_not_there_is_a_setting_to_correct(tmp_path: Any) -> None:
    """The settings are named, nothing is tried."""
    wrong = KafkaConnection.model_construct(
        bootstrap_servers="127.0.0.1:1", security_protocol="SSL", ssl_cafile=tmp_path / "none.pem"
    )
    with pytest.raises(ConfigError, match=r"KAFKA_SSL_\.\.\. cannot be used: .*No such file"):
        await check(wrong, [])


async def test_without_an_admin_api_the_check_goes_by_metadata_and_says_so(specs: tuple[TopicSpec, ...]) -> None:
    """The mock broker of librdkafka: existence and counts are compared, settings are not; nothing is created there."""
    with embedded_broker() as address:
        broker = at(address)
        assert len((await check(broker, specs)).problems) == len(specs)
        with pytest.raises(ConfigError, match="no admin API"):
            await create(broker, specs, partitions=4)
        await touch(address, [spec.name for spec in specs[1:]])
        report = await check(broker, specs)
    assert [problem.topic for problem in report.problems] == [specs[0].name]
    assert report.left_out == ("cleanup.policy and max.message.bytes: this broker has no admin API",)


async def touch(address: str, topics: list[str]) -> None:
    """Use topics for the first time: the embedded broker makes them."""
    producer = AIOKafkaProducer(bootstrap_servers=address)
    await producer.start()
    try:
        for topic in topics:
            await producer.partitions_for(topic)
    finally:
        await producer.stop()


@pytest.fixture
def environment(kafka: Kafka, names: TopicNames, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings as an operator gives them: environment variables."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    monkeypatch.setenv("KAFKA_GROUP_ID", f"{topic_prefix}group")
    for field in FIELDS:
        monkeypatch.setenv(f"TOPIC_{field}".upper(), getattr(names, field))


@pytest.mark.usefixtures("environment")
def test_the_commands_create_and_check(specs: tuple[TopicSpec, ...]) -> None:
    """`topics check` ends with 1 and names what is missing, `create` makes it, then the check ends with 0."""
    runner = CliRunner()
    before = runner.invoke(topics_cli.app, ["check"])
    assert before.exit_code == 1
    assert before.stderr.count("does not exist; create it with `review-consumer topics create`") == len(specs)
    made = runner.invoke(topics_cli.app, ["create", "--partitions", "3", "--replication-factor", "1"])
    assert (made.exit_code, made.stderr) == (0, "")
    assert made.stdout.count("created") == len(specs)
    after = runner.invoke(topics_cli.app, ["check"])
    assert (after.exit_code, after.stderr) == (0, "")
    assert all(spec.name in after.stdout for spec in specs)


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("wrong", [["--partitions", "0"], ["--partitions", "many"], ["--replication-factor", "0"]])
def test_a_wrong_option_ends_with_2(wrong: list[str]) -> None:
    """A usage error, before anything is tried."""
    assert CliRunner().invoke(topics_cli.app, ["create", *wrong]).exit_code == 2
