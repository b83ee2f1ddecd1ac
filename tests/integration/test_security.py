"""Logging in and being allowed to, on a real broker with TLS and ACLs: each way works, and each refusal says why."""

import asyncio
import re
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, get_args

import pytest
import trustme
from aiokafka import AIOKafkaProducer

from consumer.errors import ConfigError
from consumer.kafka import admin
from consumer.pipeline.rekey import Plan, Rekey
from consumer.settings import Delivery
from producer.errors import CannotGoOn
from producer.kafka.client import Sender
from schemas.codec import encode_document
from schemas.connection import KafkaConnection
from schemas.topics import topic_specs
from tests.integration.scripted import ScriptedEngine
from tests.integration.secured import (
    PLAIN_USERS,
    REAUTHENTICATE_SECONDS,
    Acl,
    SecuredBroker,
    acls_of_a_member,
    secured_broker,
    token_endpoint,
    unsecured_token,
)
from tests.integration.world import PATIENCE, World
from tests.kafka_broker import create_topic

# aiokafka does not wait for a refused connection to close: a test's loop may end before its socket does
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

MODES = get_args(Delivery.model_fields["delivery"].annotation)
WAYS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "token by command", "token by URL", "certificate")
CLIENT: dict[str, Any] = {"sasl_oauth_client_id": "id", "sasl_oauth_client_secret": "se/cret"}


@pytest.fixture(scope="module")
def secured(java_kafka: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:  # noqa: ARG001
    """The broker of this module."""
    with secured_broker(tmp_path_factory.mktemp("secured")) as broker:
        yield broker


def reviews(count: int, first: int = 0) -> list[tuple[bytes, bytes]]:
    """Review events of a few restaurants, with their keys."""
    return [
        (str(n % 5).encode(), encode_document({"review_id": n, "restaurant_id": n % 5, "content": "맛있어요"}))
        for n in range(first, first + count)
    ]


def prints(token: str) -> str:
    """A command that prints a token."""
    return shlex.join([sys.executable, "-c", f"print({token!r})"])


def login(broker: SecuredBroker, way: str, stack: ExitStack) -> tuple[KafkaConnection, str]:
    """A connection, and as whom the broker then knows us."""
    if way == "certificate":
        return broker.tls("certified"), "certified"
    if way == "token by command":
        command = prints(unsecured_token("by-command", 300))
        return broker.oauth(sasl_oauth_token_command=command), "by-command"
    if way == "token by URL":
        url, _ = stack.enter_context(token_endpoint("by-url", 300))
        return broker.oauth(sasl_oauth_token_url=url, **CLIENT), "by-url"
    user = "plain" if way == "PLAIN" else "scram"
    return broker.sasl(way, user), user


async def world_of(broker: SecuredBroker, prefix: str, connection: KafkaConnection, user: str) -> World:
    """Topics, and a member with the README's ACLs on them."""
    world = World(broker.superuser, prefix, partitions=2, login=connection)
    await world.create()
    await broker.allow(user, acls_of_a_member(world.settings))
    return world


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", WAYS)
async def test_a_member_consumes_produces_and_commits(
    secured: SecuredBroker, topic_prefix: str, way: str, mode: str
) -> None:
    """With TLS, each way to log in, and no ACL but those that the README lists; the start's check of topics, too."""
    with ExitStack() as stack:
        connection, user = login(secured, way, stack)
        world = await world_of(secured, topic_prefix, connection, user)
        world.tuned("delivery", delivery=mode)
        specs = topic_specs(world.settings.topics, world.settings.delivery.kafka_group_id)
        report = await admin.check(connection, specs)
        assert (report.problems, report.left_out) == ((), ())
        sent = await world.send(reviews(30))
        async with world.running(ScriptedEngine()):
            results, letters = await world.until_answered(sent)
        assert (sorted(r.review_id for r in results), letters) == (list(range(30)), [])
        assert await world.committed() == sent


@pytest.mark.parametrize("mode", MODES)
async def test_a_member_outlives_its_tokens(secured: SecuredBroker, topic_prefix: str, mode: str) -> None:
    """The broker hangs up when a token's time is over (KIP-368): the member comes back with a new one, nothing lost."""
    with token_endpoint("short-lived", REAUTHENTICATE_SECONDS) as (url, asked):
        connection = secured.oauth(sasl_oauth_token_url=url, **CLIENT)
        world = await world_of(secured, topic_prefix, connection, "short-lived")
        world.tuned("delivery", delivery=mode)
        async with world.running(ScriptedEngine()):
            for first in (0, 30, 60):
                await world.send(reviews(30, first))
                results, letters = await world.until_answered(first + 30)
                await asyncio.sleep(REAUTHENTICATE_SECONDS + 1)
        assert ({r.review_id for r in results}, letters) == (set(range(90)), [])
        assert await world.committed() == 90
        assert len(asked) > 1


@pytest.mark.parametrize("way", WAYS)
async def test_the_producer_logs_in_the_same_way(secured: SecuredBroker, topic_prefix: str, way: str) -> None:
    """It needs Write on its topic alone."""
    with ExitStack() as stack:
        connection, user = login(secured, way, stack)
        world = World(secured.superuser, topic_prefix, partitions=1)
        await world.create()
        await secured.allow(user, [Acl("topic", world.settings.topics.reviews, "Write")])
        sender = Sender(connection)
        await sender.start()
        delivery = await sender.send(world.settings.topics.reviews, b"1", b"{}", ())
        assert (await delivery.place()).offset == 0
        await sender.stop()


async def stopped_by(world: World) -> str:
    """Run a member until it stops by itself: what the ConfigErrors say."""
    with pytest.raises((ConfigError, BaseExceptionGroup)) as caught:
        async with asyncio.timeout(PATIENCE):
            await world.member(ScriptedEngine()).service.run()
    errors = [caught.value]
    for error in errors:
        errors.extend(error.exceptions if isinstance(error, BaseExceptionGroup) else [])
    return "\n".join(str(error) for error in errors if isinstance(error, ConfigError))


async def test_rekey_and_topics_create_need_what_the_readme_says(secured: SecuredBroker, topic_prefix: str) -> None:
    """And no more: one user may make the topics, another copy into two of them."""
    world = World(secured.superuser, topic_prefix, partitions=1)
    names, group = world.settings.topics, world.settings.delivery.kafka_group_id
    specs, source = topic_specs(names, group), f"{topic_prefix}old"
    creator, copier = PLAIN_USERS[-2], PLAIN_USERS[-3]
    create = [Acl("topic", topic_prefix, operation, prefixed=True) for operation in ("Create", "DescribeConfigs")]
    await secured.allow(creator, [*create, Acl("topic", topic_prefix, "Describe", prefixed=True)])
    assert not (await admin.create(secured.sasl("PLAIN", creator), specs, 1)).report.problems
    await create_topic(secured.superuser, source, 1, {})
    needed = [
        Acl("topic", source, "Read"),
        Acl("group", f"{group}.rekey", "Read"),
        Acl("topic", names.reviews, "Write"),
        Acl("topic", names.dlq, "Write"),
        Acl("transactional id", f"{group}.", "Write", prefixed=True),
    ]
    await secured.allow(copier, needed)
    producer = AIOKafkaProducer(bootstrap_servers=secured.superuser)
    async with producer:
        await producer.send_and_wait(source, reviews(1)[0][1])
        await producer.send_and_wait(source, b"{")
    world.settings = world.settings.model_copy(update={"kafka": secured.sasl("PLAIN", copier)})
    run = Rekey(world.settings, source, Plan(), time.time, lambda *_: None)
    assert await run.run()
    assert (run.count.copied, dict(run.count.dead)) == (1, {"not_json": 1})


def refusals(broker: SecuredBroker, folder: Path) -> dict[str, tuple[KafkaConnection, str]]:
    """What is wrong → a connection, and what the message must say."""
    stranger = folder / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    signed = unsecured_token("x", 300) + "c2lnbmVk"
    return {
        "PLAIN password": (broker.sasl("PLAIN", "plain", sasl_password="wrong"), "refuses the log-in: .*Invalid user"),
        "SCRAM password": (
            broker.sasl("SCRAM-SHA-512", "scram", sasl_password="wrong"),
            "refuses the log-in: .*invalid credentials",
        ),
        "mechanism": (
            broker.oauth(sasl_mechanism="PLAIN", sasl_username="plain"),
            "it does not take KAFKA_SASL_MECHANISM=PLAIN",
        ),
        "authority": (
            broker.tls("certified", ssl_cafile=stranger),
            "certificate of .* is not trusted.*KAFKA_SSL_CAFILE",
        ),
        "no certificate": (broker.tls(None), "no TLS with .*certificate.*KAFKA_SSL_CERTFILE"),
        "no TLS": (broker.tls("certified", security_protocol="PLAINTEXT"), "check KAFKA_SECURITY_PROTOCOL"),
        "token": (broker.oauth(sasl_oauth_token_command=prints("nonsense")), "how a token is not accepted"),
        "signed token": (broker.oauth(sasl_oauth_token_command=prints(signed)), "how a token is not accepted"),
        "token command": (
            broker.oauth(sasl_oauth_token_command=shlex.join([sys.executable, "-c", "raise SystemExit(3)"])),
            "KAFKA_SASL_OAUTH_TOKEN_COMMAND .* ended with status 3",
        ),
        "slow token command": (
            broker.oauth(sasl_oauth_token_command="sleep 600", sasl_oauth_timeout_seconds=0.5),
            "did not end within 0.5 s",
        ),
    }


WRONG = (
    *("PLAIN password", "SCRAM password", "mechanism", "authority", "no certificate", "no TLS"),
    *("token", "signed token", "token command", "slow token command"),
)


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_refused_client_is_told_why(
    secured: SecuredBroker, topic_prefix: str, tmp_path: Path, wrong: str
) -> None:
    """Consumer, admin client and producer end in bounded time, and name the setting to look at."""
    connection, said = refusals(secured, tmp_path)[wrong]
    world = World(secured.superuser, topic_prefix, partitions=1, login=connection)
    started = time.monotonic()
    with pytest.raises(ConfigError, match=said):
        await admin.check(connection, [], seconds=15)
    with pytest.raises(CannotGoOn, match=said):
        await Sender(connection).start()
    assert re.search(said, await stopped_by(world))
    assert time.monotonic() - started < PATIENCE
    await asyncio.sleep(0.2)  # see above


async def test_an_unknown_oauth_client_is_told_so(secured: SecuredBroker) -> None:
    """The code of the authorization server's answer is in the message, the secret is not."""
    with token_endpoint("x", 300) as (url, _):
        unknown = {"sasl_oauth_client_id": "id", "sasl_oauth_client_secret": "hunter2"}
        with pytest.raises(ConfigError, match=r"HTTP 401 \(invalid_client\): check the id") as caught:
            await admin.check(secured.oauth(sasl_oauth_token_url=url, **unknown), [])
        assert "hunter2" not in str(caught.value)


def without(world: World, missing: str) -> list[Acl]:
    """The README's list, less one."""
    names = world.settings.topics
    left_out = {"read": (names.reviews, "Read"), "write": (names.sentiment, "Write")}
    acls = acls_of_a_member(world.settings)
    seen = [Acl("topic", name, "Describe") for name, _ in left_out.values()]
    left = [acl for acl in acls if acl.resource != missing and (acl.name, acl.operation) != left_out.get(missing)]
    return left + seen


MISSING = [(missing, mode) for mode in MODES for missing in ("read", "write", "group")]
MISSING += [("transactional id", mode) for mode in MODES if mode == "exactly_once"]


@pytest.mark.parametrize(("missing", "mode"), MISSING)
async def test_a_missing_acl_stops_the_member(
    secured: SecuredBroker, topic_prefix: str, missing: str, mode: str
) -> None:
    """With a message that names what it may not use, instead of waiting for ever."""
    user = PLAIN_USERS[1 + MISSING.index((missing, mode))]
    world = World(secured.superuser, topic_prefix, partitions=1, login=secured.sasl("PLAIN", user))
    await world.create()
    world.tuned("delivery", delivery=mode)
    await secured.allow(user, without(world, missing))
    await world.send(reviews(10))
    named = {"read": world.settings.topics.reviews, "write": world.settings.topics.sentiment}
    said = named.get(missing, world.settings.delivery.kafka_group_id)
    assert said in await stopped_by(world)


async def test_a_topic_that_may_not_be_seen_is_named_at_the_start(secured: SecuredBroker, topic_prefix: str) -> None:
    """To a user without Describe on it, a topic does not exist: the message says that it may be so."""
    world = World(secured.superuser, topic_prefix, partitions=1)
    await world.create()
    specs = topic_specs(world.settings.topics, world.settings.delivery.kafka_group_id)
    report = await admin.check(secured.sasl("PLAIN", PLAIN_USERS[-1]), specs)
    assert len(report.problems) == len(specs)
    assert "no ACL lets this user describe it" in str(report.problems[0])
