"""A world of its own on the session's broker: topics, settings, members in this process, and readers."""

import asyncio
import atexit
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from consumer.engines.contract import Engine
from consumer.kafka import admin
from consumer.kafka.header_names import read_any_header_name
from consumer.pipeline.assembly import Assembly, assemble
from consumer.settings import Batches, Breaker, Delivery, EngineChoice, Jobs, Lanes, Retries, Service, Settings
from consumer.stream.place import Origin
from schemas.codec import decode
from schemas.connection import KafkaConnection
from schemas.results import SentimentResult
from schemas.secret_files import SecretFiles
from schemas.topics import TopicNames, topic_specs

M = TypeVar("M", bound=BaseModel)

PATIENCE = 60.0
"""Seconds that a test waits for anything."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as a reader sees it."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]

    @property
    def reason(self) -> str:
        """Its code."""
        return dict(self.headers)["dlq.reason"].decode()


class World:
    """Topics under one prefix, a group of its own. `login`: how members reach the broker, if not as the readers do."""

    def __init__(
        self, bootstrap_servers: str, prefix: str, partitions: int, login: KafkaConnection | None = None
    ) -> None:
        self.partitions, self._login = partitions, login
        self.patience = PATIENCE
        """Seconds until everything must be answered."""
        state_dir = Path(tempfile.mkdtemp(prefix="review-consumer-test-"))
        atexit.register(shutil.rmtree, state_dir, ignore_errors=True)
        names = {name: f"{prefix}{field.default}" for name, field in TopicNames.model_fields.items()}
        self.settings = Settings(
            secrets=SecretFiles(),
            kafka=KafkaConnection(bootstrap_servers=bootstrap_servers, request_timeout_seconds=15),
            delivery=Delivery(kafka_group_id=f"{prefix}group", revoke_drain_seconds=5, kafka_session_timeout_seconds=6),
            topics=TopicNames.model_validate(names),
            engine=EngineChoice(),
            batches=Batches(),
            lanes=Lanes(),
            retries=Retries(base_seconds=0.01, max_attempts=3),
            breaker=Breaker(),
            jobs=Jobs(summary_max_age_seconds=1),
            service=Service(state_dir=state_dir, cache_max_bytes=0),  # scripts count how often a text is asked
        )

    def tuned(self, section: str, **values: Any) -> None:
        """Change settings of a section."""
        changed = getattr(self.settings, section).model_copy(update=values)
        self.settings = self.settings.model_copy(update={section: changed})

    def environment(self, **more: str) -> dict[str, str]:
        """Variables of a command in this world."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("KAFKA_", "VLLM_", "TOPIC_", "STATE_"))}
        names = {f"TOPIC_{name.upper()}": topic for name, topic in self.settings.topics.model_dump().items()}
        own = {
            "KAFKA_BOOTSTRAP_SERVERS": str(self.settings.kafka.bootstrap_servers),
            "KAFKA_GROUP_ID": self.settings.delivery.kafka_group_id,
        }
        return kept | names | own | more

    async def create(self) -> None:
        """Make the topics."""
        specs = topic_specs(self.settings.topics, self.settings.delivery.kafka_group_id)
        done = await admin.create(self.settings.kafka, specs, self.partitions)
        assert not done.report.problems

    async def send(self, records: Iterable[tuple[bytes | None, bytes | None]], *, partition: int | None = None) -> int:
        """Publish (key, value) pairs to the reviews topic, each where murmur2 puts its key."""
        producer = AIOKafkaProducer(bootstrap_servers=self.settings.kafka.bootstrap_servers)
        async with producer:
            topic = self.settings.topics.reviews
            sent = [await producer.send(topic, key=k, value=v, partition=partition) for k, v in records]
            await asyncio.gather(*sent)
        return len(sent)

    def member(self, engine: Engine, origin: Origin | None = None) -> Assembly:
        """One member of the group, not started."""
        names = self.settings.topics
        counts = dict.fromkeys((names.reviews, names.by_group, names.requests), self.partitions)
        settings = self.settings.model_copy(update={"kafka": self._login or self.settings.kafka})
        return assemble(settings, engine, CollectorRegistry(), counts, origin)

    @asynccontextmanager
    async def running(self, engine: Engine, origin: Origin | None = None) -> AsyncIterator[Assembly]:
        """A member that works while inside, and stops gracefully."""
        member = self.member(engine, origin)
        task = asyncio.create_task(member.service.run())
        try:
            yield member
        finally:
            member.service.stop()
            async with asyncio.timeout(PATIENCE):
                await task

    async def kill(self, task: "asyncio.Task[None]") -> None:
        """End a member as a crash does: nothing that is done is committed any more."""
        task.cancel()
        with suppress(asyncio.CancelledError, BaseExceptionGroup):
            await task

    async def read(self, topic: str) -> list[Any]:
        """All records of a topic, partition by partition in offset order."""
        read_any_header_name()
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.settings.kafka.bootstrap_servers,
            enable_auto_commit=False,
            isolation_level="read_committed",
        )
        async with consumer:
            partitions = [TopicPartition(topic, p) for p in range(self.partitions)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            for partition, first in (await consumer.beginning_offsets(partitions)).items():
                consumer.seek(partition, first)
            found: list[Any] = []
            async with asyncio.timeout(PATIENCE):
                while any([await consumer.position(p) < ends[p] for p in partitions]):
                    for records in (await consumer.getmany(timeout_ms=100)).values():
                        found.extend(records)
        return sorted(found, key=lambda r: (r.partition, r.offset))

    async def results(self) -> list[SentimentResult]:
        """Every sentiment result."""
        return [decode(SentimentResult, r.value) for r in await self.read(self.settings.topics.sentiment)]

    async def letters(self) -> list[Letter]:
        """Every dead letter."""
        found = await self.read(self.settings.topics.dlq)
        return [Letter(r.key, r.value, tuple(r.headers)) for r in found]

    async def latest(self, topic: str, model: type[M]) -> dict[bytes, M | None]:
        """The last value of each key of a compacted topic; None for a tombstone."""
        return {r.key: decode(model, r.value) if r.value else None for r in await self.read(topic)}

    async def until_answered(self, count: int) -> tuple[list[SentimentResult], list[Letter]]:
        """Wait until so many records are answered or dead letters; more than that is the caller's to judge."""
        async with asyncio.timeout(self.patience):
            while True:
                results, letters = await self.results(), await self.letters()
                if len(results) + len(letters) >= count:
                    return results, letters
                await asyncio.sleep(0.2)

    async def until_latest(self, topic: str, model: type[M], count: int) -> dict[bytes, M | None]:
        """Wait until a compacted topic has so many keys."""
        async with asyncio.timeout(self.patience):
            while len(found := await self.latest(topic, model)) < count:
                await asyncio.sleep(0.2)
            return found

    async def move(self, partition: int, offset: int) -> None:
        """Set the group's committed offset of a partition of the reviews, as `kafka-consumer-groups` would."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.settings.kafka.bootstrap_servers,
            group_id=self.settings.delivery.kafka_group_id,
            enable_auto_commit=False,
        )
        async with consumer:
            place = TopicPartition(self.settings.topics.reviews, partition)
            consumer.assign([place])
            await consumer.commit({place: offset})

    async def committed(self) -> int:
        """Sum of the group's committed offsets of the reviews topic."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.settings.kafka.bootstrap_servers,
            group_id=self.settings.delivery.kafka_group_id,
            enable_auto_commit=False,
        )
        async with consumer:
            topic = self.settings.topics.reviews
            offsets = [await consumer.committed(TopicPartition(topic, p)) for p in range(self.partitions)]
        return sum(offset or 0 for offset in offsets)


async def until(found: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(PATIENCE):
        while not found():
            await asyncio.sleep(0.02)
