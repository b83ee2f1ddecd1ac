"""The service with a real vLLM whose worker is killed, stands still, or dies of one review: no record pays for it."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Sequence

import psutil
import pytest

from consumer.engines.contract import Deliver, Health, Prepared
from consumer.engines.vllm.engine import VllmEngine
from consumer.errors import EngineDown
from deploy.kafka.sources import Kafka
from tests.integration.scripted import review
from tests.integration.world import World
from tests.llm.conftest import STALL_SECONDS

COUNT = 24
MARKER = "엔진을 멈추는 리뷰"
SECONDS = 400.0


class Kept:
    """The session's engine: the service starts and ends it when it has died, and leaves it when it works."""

    def __init__(self, engine: VllmEngine) -> None:
        self.engine = engine
        self.name, self.model = engine.name, engine.model
        self.prepare, self.health, self.load = engine.prepare, engine.health, engine.load

    async def start(self) -> None:
        """Anew, where it is not up."""
        if not self.engine.health().ready:
            await self.engine.start()

    async def stop(self) -> None:
        """Only where it is not up."""
        if not self.engine.health().ready:
            await self.engine.stop()

    async def run(self, batch: Sequence[Prepared], deliver: Deliver) -> None:
        """As it does."""
        await self.engine.run(batch, deliver)


class Mortal(Kept):
    """Dies of one review, as of a prompt that makes a kernel fail: all that is in flight fails until the next start.

    Its death is its own: the engine behind it lives on, which saves a minute a death.
    """

    deaths = 0

    def __init__(self, engine: VllmEngine) -> None:
        super().__init__(engine)
        self._died = asyncio.Event()

    async def start(self) -> None:
        """As new."""
        await super().start()
        self._died.clear()

    def health(self) -> Health:
        """Not ready from a death to the next start."""
        return Health(False, "it died of a review") if self._died.is_set() else self.engine.health()

    async def run(self, batch: Sequence[Prepared], deliver: Deliver) -> None:
        """Die of the marked one; else as the engine does, until another batch brings death."""
        if any(MARKER in text for prepared in batch for text in prepared.task.reviews):
            self.deaths += 1
            self._died.set()
        run = asyncio.create_task(self.engine.run(batch, deliver))
        death = asyncio.create_task(self._died.wait())
        try:
            await asyncio.wait([run, death], return_when=asyncio.FIRST_COMPLETED)
            if self._died.is_set():
                raise EngineDown("it died of a review")
            await run
        finally:
            run.cancel()
            death.cancel()
            await asyncio.wait([run, death])


def workers(engine: VllmEngine) -> list[psutil.Process]:
    """The processes that compute."""
    found = [process for process in tree(engine) if "Worker" in process.name()]
    assert found
    return found


def tree(engine: VllmEngine) -> list[psutil.Process]:
    """All processes of the engine."""
    assert engine._processes is not None
    return list(engine._processes.look())


async def world_of(kafka: Kafka, prefix: str) -> World:
    """Reviews alone: summaries are not due."""
    world = World(kafka.bootstrap_servers, prefix, partitions=2)
    world.tuned("jobs", summary_min_reviews=10_000, summary_max_age_seconds=86_400.0)
    await world.create()
    return world


async def answered(world: World, count: int) -> None:
    """Wait until so many are answered or dead letters."""
    while len(await world.results()) + len(await world.letters()) < count:
        await asyncio.sleep(1)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_invariant_6_the_worker_is_struck_in_mid_batch_and_every_record_is_answered_once(
    vllm: VllmEngine, kafka: Kafka, topic_prefix: str, number: signal.Signals
) -> None:
    """Readiness false meanwhile, liveness true, a new engine, nothing left of the old one, no dead letter."""
    world = await world_of(kafka, topic_prefix)
    await world.send(
        [review(n % 7, n, f"{n}번째 손님입니다. 음식이 정말 맛있고 친절해요. " * 10) for n in range(COUNT)]
    )
    async with asyncio.timeout(SECONDS), world.running(Kept(vllm)) as member:
        while vllm._life is None or not vllm._life._in_flight:
            await asyncio.sleep(0.01)
        old = tree(vllm)
        for process in workers(vllm):
            os.kill(process.pid, number)
        struck = time.monotonic()
        while not any("engine" in reason for reason in member.health.ready()[1]):
            assert member.health.live()[0]
            await asyncio.sleep(0.02)
        if number is signal.SIGSTOP:
            assert time.monotonic() - struck >= STALL_SECONDS - 2, "it was not taken for hung too early"
        await answered(world, COUNT)
        assert member.health.ready()[0]
    assert [its for its in old if its.is_running() and its.status() != psutil.STATUS_ZOMBIE] == []
    assert await world.letters() == []
    assert Counter(result.review_id for result in await world.results()) == Counter(range(COUNT))


async def test_invariant_6_a_review_that_kills_every_engine_is_alone_a_dead_letter(
    vllm: VllmEngine, kafka: Kafka, topic_prefix: str
) -> None:
    """Its neighbours are answered, once each."""
    world = await world_of(kafka, topic_prefix)
    await world.send([review(1, n, MARKER if n == 2 else None) for n in range(4)])
    engine = Mortal(vllm)
    async with asyncio.timeout(SECONDS), world.running(engine):
        await answered(world, 4)
    assert [letter.reason for letter in await world.letters()] == ["engine_killer"]
    assert Counter(result.review_id for result in await world.results()) == Counter([0, 1, 3])
    assert engine.deaths >= 3
