"""Engines that run while they are lent out, and the service at work on one."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

from aiokafka import AIOKafkaProducer
from confluent_kafka import Consumer

from consumer.analysis.task import Task
from consumer.engines.contract import Deliver, Engine, Prepared
from consumer.engines.openai.engine import OpenAIEngine, OpenAIRules
from consumer.engines.vllm.engine import VllmEngine, VllmRules
from consumer.settings import Batches
from schemas.codec import decode
from schemas.results import AnalysisReply
from tests.benchmarks.plumbing.field import committed
from tests.benchmarks.saturation.report import Run
from tests.benchmarks.saturation.workloads import Workload
from tests.integration.world import World
from tests.llm.server import ARGS, MODEL

PARTITIONS = 4
LOOK_SECONDS = 0.1
STALL_SECONDS = 300.0
RUN_SECONDS = 3600.0
"""Bound on one contestant's run, and on one request to an engine: nothing is asked again for being slow."""


class Lent:
    """An engine for a service that may neither start nor stop it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name, self.model = engine.name, engine.model
        self.health, self.load = engine.health, engine.load
        self.first_asked: float | None = None
        """When the service first handed it something; monotonic seconds."""
        self.prompts = 0

    async def start(self) -> None:
        """It has started."""

    async def stop(self) -> None:
        """It goes on."""

    async def prepare(self, tasks: Sequence[Task], budget: int) -> list[Prepared]:
        """As it does."""
        if self.first_asked is None:
            self.first_asked = time.monotonic()
        return await self._engine.prepare(tasks, budget)

    async def run(self, batch: Sequence[Prepared], deliver: Deliver) -> None:
        """As it does."""
        self.prompts += len(batch)
        await self._engine.run(batch, deliver)


async def through_kafka(address: str, prefix: str, workload: Workload, engine: Engine) -> Run:
    """A member of a group of its own, on topics that were loaded before. Joining the group does not count."""
    world, lent = _world(address, prefix), Lent(engine)
    await world.create()
    topic = getattr(world.settings.topics, workload.topic)
    await _load(world, topic, workload.records)
    member = world.member(lent)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(member.service.run())
        await _until_committed(world, topic, len(workload.records))
        ended = time.monotonic()
        member.service.stop()
    if letters := await world.letters():
        raise RuntimeError(f"{len(letters)} records became dead letters, the first for {letters[0].reason}")
    replies = [decode(AnalysisReply, record.value) for record in await world.read(world.settings.topics.replies)]
    failed = sum(reply.error is not None for reply in replies)
    return Run(ended - (lent.first_asked or ended), lent.prompts, failed)


def _world(address: str, prefix: str) -> World:
    """Nothing is asked but what the workload asks, and nothing waits for a breaker."""
    world = World(address, prefix, PARTITIONS)
    never = 10**9
    world.tuned("jobs", summary_min_reviews=never, summary_min_tokens=never, summary_max_age_seconds=float(never))
    world.tuned("engine", engine_request_timeout_seconds=RUN_SECONDS)
    world.tuned("breaker", share=1.0)
    return world


async def _load(world: World, topic: str, records: Sequence[tuple[bytes, bytes]]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=world.settings.kafka.bootstrap_servers) as producer:
        await asyncio.gather(*[await producer.send(topic, key=key, value=value) for key, value in records])


async def _until_committed(world: World, topic: str, count: int) -> None:
    """Looked at in a thread, by a consumer that joins nothing."""
    group = {
        "bootstrap.servers": world.settings.kafka.bootstrap_servers,
        "group.id": world.settings.delivery.kafka_group_id,
    }
    with closing(Consumer(group)) as outside:
        while await asyncio.to_thread(committed, outside, topic, PARTITIONS) < count:
            await asyncio.sleep(LOOK_SECONDS)


@asynccontextmanager
async def vllm_engine(model: Path, dtype: str) -> AsyncIterator[VllmEngine]:
    """Of these weights, in this process, started."""
    engine = VllmEngine(VllmRules(str(model), {**ARGS, "dtype": dtype}, Batches().max_tokens_per_batch, STALL_SECONDS))
    try:
        await engine.start()
        yield engine
    finally:
        await engine.stop()


@asynccontextmanager
async def openai_engine(url: str, model: Path, connections: int) -> AsyncIterator[OpenAIEngine]:
    """A client of a server of these weights, started: it has found out what the server can."""
    engine = OpenAIEngine(
        OpenAIRules(
            base_url=url,
            api_key=None,
            model=MODEL,
            tokenizer=str(model),
            budget=Batches().max_tokens_per_batch,
            timeout=RUN_SECONDS,
            connections=connections,
        )
    )
    try:
        await engine.start()
        yield engine
    finally:
        await engine.stop()


async def forget_prompts(engine: VllmEngine) -> None:
    """Empty the prefix cache. Raises RuntimeError where vLLM does not: something still runs."""
    if engine._life is None or not await engine._life.llm.reset_prefix_cache():
        raise RuntimeError("the engine's prefix cache cannot be emptied")


async def forget_served_prompts(engine: OpenAIEngine) -> None:
    """The same over HTTP, of a vLLM that was started with VLLM_SERVER_DEV_MODE=1."""
    server = engine._server
    said = await server.wire.json(f"{server.root}/reset_prefix_cache", {}) if server else None
    if not said or not said.get("success"):
        raise RuntimeError(f"the server's prefix cache cannot be emptied: {said}")
