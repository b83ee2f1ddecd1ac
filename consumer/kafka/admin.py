"""The topics: set up, and compared with what they must be.

Topics are looked up by one metadata request for all of them, never by name: a name would create its topic on a
broker with `auto.create.topics.enable`. Every call ends within its `seconds`, and a few more to find out why not.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    GroupIdNotFound,
    IncompatibleBrokerVersion,
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    TopicAlreadyExistsError,
    for_code,
)

from consumer.errors import ConfigError
from consumer.kafka.clients import NOT_ALLOWED, Unreachable, client_options, missing_acl, why_no_broker
from consumer.kafka.comparison import Problem, problems, wanted_config
from schemas.connection import KafkaConnection
from schemas.topics import CLEANUP_POLICY, MAX_MESSAGE_BYTES, TopicSpec

DEFAULT_SECONDS = 15.0
USUAL_REPLICAS = 3
CLOSE_SECONDS = 2.0
VISIBLE_SECONDS = 0.05
"""Pause between two looks for new topics: brokers learn of them a moment after the controller."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found, and which comparisons this broker left no way to make."""

    problems: tuple[Problem, ...]
    left_out: tuple[str, ...]
    partitions: Mapping[str, int]
    """Of the wanted topics that exist."""


@dataclass(frozen=True, slots=True)
class Created:
    """What `create` did. `existing` topics were left as they are; `report` says how all of them are now."""

    created: tuple[str, ...]
    existing: tuple[str, ...]
    report: Report


@dataclass(frozen=True, slots=True)
class _Described:
    """Settings by topic, and whose could not be read."""

    configs: Mapping[str, Mapping[str, str]]
    left_out: tuple[str, ...] = ()
    has_admin_api: bool = True


async def check(connection: KafkaConnection, specs: Sequence[TopicSpec], seconds: float = DEFAULT_SECONDS) -> Report:
    """Compare the topics with their specs. Raises Unreachable or another ConfigError; changes nothing."""
    async with _opened(connection, seconds) as admin:
        return await _checked(admin, specs)


async def create(
    connection: KafkaConnection,
    specs: Sequence[TopicSpec],
    partitions: int,
    replication_factor: int | None = None,
    seconds: float = DEFAULT_SECONDS,
) -> Created:
    """Create the topics that are missing, then check all. Existing ones are left as they are.

    A topic that must be like an existing one gets that one's partition count. Replicas: three, or one a broker where
    there are fewer. Raises Unreachable or another ConfigError, which names the topic that was refused.
    """
    async with _opened(connection, seconds) as admin:
        counts = await _partition_counts(admin)
        if not (await _described(admin, [specs[0].name])).has_admin_api:
            raise ConfigError("this broker has no admin API: topics there appear when they are first used")
        missing = [spec for spec in specs if spec.name not in counts]
        replicas = replication_factor or await _usual_replicas(admin)
        # first those that depend on no other, then those that are like others or hold their records
        await _create(admin, [s for s in missing if not (s.like or s.holds)], partitions, replicas)
        await _create(admin, [s for s in missing if s.like or s.holds], partitions, replicas)
        existing = tuple(spec.name for spec in specs if spec.name in counts)
        return Created(tuple(spec.name for spec in missing), existing, await _checked(admin, specs))


async def members(connection: KafkaConnection, group_id: str, seconds: float = DEFAULT_SECONDS) -> tuple[str, ...]:
    """The group's members, each as `client id at host`; one that died counts until its session time-out.

    Raises Unreachable or another ConfigError.
    """
    async with _opened(connection, seconds) as admin:
        (answer,) = await admin.describe_consumer_groups([group_id])
        (code, _, _, _, _, found), *_ = (group[:6] for group in answer.groups)
        if code and code != GroupIdNotFound.errno:
            raise for_code(code)(f"the group {group_id} cannot be described")
        return tuple(f"{client} at {host}" for _, client, host, *_ in found)


async def groups(connection: KafkaConnection, prefix: str, seconds: float = DEFAULT_SECONDS) -> tuple[str, ...]:
    """Names of the groups that begin so and hold offsets or members. Raises Unreachable or another ConfigError."""
    async with _opened(connection, seconds) as admin:
        return tuple(sorted(name for name, *_ in await admin.list_consumer_groups() if name.startswith(prefix)))


@asynccontextmanager
async def _opened(connection: KafkaConnection, seconds: float) -> AsyncIterator[Any]:
    """Hold a started admin client for at most `seconds`, its errors translated."""
    admin, started = _client(connection, seconds), False
    try:
        async with asyncio.timeout(seconds):
            await admin.start()
            started = True
            yield admin
    except TimeoutError:
        raise await _unreachable(connection, seconds, started=started) from None
    except NOT_ALLOWED as error:
        raise ConfigError(missing_acl(error)) from None
    except KafkaError as error:
        if not started or isinstance(error, NodeNotReadyError):  # no node is known: the log-in was refused
            raise await _unreachable(connection, seconds, started=False) from None
        if isinstance(error, KafkaConnectionError):
            raise Unreachable(f"the broker at {connection.bootstrap_servers} went away: {error}") from None
        raise ConfigError(f"the broker refused: {error or type(error).__name__}") from None
    finally:
        await _close(admin)


def _client(connection: KafkaConnection, seconds: float) -> Any:
    return AIOKafkaAdminClient(**client_options(connection) | {"request_timeout_ms": int(seconds * 1000)})


async def _close(admin: Any) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await admin.close()
    except (KafkaError, TimeoutError, OSError):
        return  # nothing was in flight that anybody waits for


async def _unreachable(connection: KafkaConnection, seconds: float, *, started: bool) -> Unreachable:
    address = connection.bootstrap_servers
    if started:
        return Unreachable(
            f"the broker at {address} did not finish within {seconds:g} s: is it overloaded or starting?"
        )
    return Unreachable(f"no broker answered at {address} within {seconds:g} s: {await why_no_broker(connection)}")


async def _create(admin: Any, specs: Sequence[TopicSpec], partitions: int, replicas: int) -> None:
    if not specs:
        return
    counts = await _partition_counts(admin)
    held = (await _described(admin, sorted({name for spec in specs for name in spec.holds}))).configs
    topics = [
        NewTopic(s.name, counts.get(s.like or "", partitions), replicas, topic_configs=wanted_config(s, held))
        for s in specs
    ]
    answer = await admin.create_topics(topics)
    for name, code, *message in answer.topic_errors:
        if code not in (0, TopicAlreadyExistsError.errno):  # somebody else was quicker: it is checked below
            reason = next(filter(None, message), for_code(code).__name__)
            raise ConfigError(f"topic {name} could not be created: {reason}")
    names = {spec.name for spec in specs}
    while names - (await _partition_counts(admin)).keys():  # noqa: ASYNC110 - the broker tells nobody
        await asyncio.sleep(VISIBLE_SECONDS)


async def _checked(admin: Any, specs: Sequence[TopicSpec]) -> Report:
    counts = await _partition_counts(admin)
    described = await _described(admin, [spec.name for spec in specs if spec.name in counts])
    wanted = {spec.name: counts[spec.name] for spec in specs if spec.name in counts}
    return Report(problems(specs, counts, described.configs), described.left_out, wanted)


async def _partition_counts(admin: Any) -> dict[str, int]:
    """Every topic of the cluster that this client may see, and its number of partitions."""
    topics = await admin.describe_topics()
    return {topic["topic"]: len(topic["partitions"]) for topic in topics if not topic["error_code"]}


async def _usual_replicas(admin: Any) -> int:
    brokers = (await admin.describe_cluster())["brokers"]
    return min(USUAL_REPLICAS, len(brokers))


async def _described(admin: Any, names: Sequence[str]) -> _Described:
    """The two settings that are compared, of each topic, as far as the broker tells."""
    wanted = {CLEANUP_POLICY: None, MAX_MESSAGE_BYTES: None}
    try:
        answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, n, wanted) for n in names])
    except IncompatibleBrokerVersion:
        left_out = f"{CLEANUP_POLICY} and {MAX_MESSAGE_BYTES}: this broker has no admin API"
        return _Described({}, (left_out,), has_admin_api=False)
    resources = [resource for answer in answers for resource in answer.resources]
    return _Described(
        {name: {entry[0]: entry[1] for entry in entries} for code, _, _, name, entries in resources if not code},
        tuple(f"settings of {name}: {for_code(code).__name__}" for code, _, _, name, _ in resources if code),
    )
