"""What an operator sees of a member on a real broker: lag, latency, where the oldest record is, traces that go on."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen

from aiokafka import AIOKafkaProducer
from prometheus_client import CollectorRegistry

from consumer.hooks.http import serving
from consumer.pipeline.assembly import assemble
from tests.integration.scripted import ScriptedEngine, review
from tests.integration.world import World, until
from tests.unit.test_hooks import free_port

COUNT = 30
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Seen:
    """A member's pages."""

    port: int
    registry: CollectorRegistry

    async def lanes(self, topic: str) -> list[dict[str, Any]]:
        """What /debug/lanes says of a topic."""
        page = await asyncio.to_thread(self._get, "/debug/lanes")
        return [lane for lane in json.loads(page)["lanes"] if lane["topic"] == topic]

    def sum(self, name: str, **labels: str) -> float:
        """Over all series that have these labels."""
        samples = (
            s for family in self.registry.collect() for s in family.samples if s.name == f"review_consumer_{name}"
        )
        return sum(s.value for s in samples if labels.items() <= s.labels.items())

    def _get(self, path: str) -> bytes:
        with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            page: bytes = answer.read()
            return page


@asynccontextmanager
async def _seen(world: World, engine: ScriptedEngine) -> AsyncIterator[Seen]:
    registry, names = CollectorRegistry(), world.settings.topics
    counts = dict.fromkeys((names.reviews, names.by_group, names.requests), world.partitions)
    member = assemble(world.settings, engine, registry, counts)
    task = asyncio.create_task(member.service.run())
    with serving(free_port(), registry, member.health, member.lanes) as port:
        yield Seen(port, registry)
        member.service.stop()
        await task


async def _until_lanes(seen: Seen, topic: str, found: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    async with asyncio.timeout(60):
        while not found(lanes := await seen.lanes(topic)):
            await asyncio.sleep(0.2)
        return lanes


async def test_lag_and_lanes_are_told_while_the_engine_stands_and_when_all_is_committed(world: World) -> None:
    """What is committed against the end, in records and seconds; and where the oldest record is."""
    engine, topic = ScriptedEngine(), world.settings.topics.reviews
    engine.gate.clear()
    await world.send(review(n % 7, n) for n in range(COUNT))
    async with _seen(world, engine) as seen:
        lanes = await _until_lanes(seen, topic, lambda found: sum(one["in_flight"] for one in found) == COUNT)
        assert sum(lane["lag"] for lane in lanes) == COUNT
        assert {lane["oldest_stage"] for lane in lanes if lane["in_flight"]} <= {"engine", "waiting"}
        assert all(lane["state"] == "open" and lane["lag_seconds"] > 0 for lane in lanes if lane["in_flight"])
        assert seen.sum("lag_records", topic=topic) == COUNT
        assert seen.sum("lag_seconds", topic=topic) > 0
        assert seen.sum("oldest_waiting_review_seconds") > 0
        assert seen.sum("engine_time_seconds_total", state="busy") > 0

        engine.gate.set()
        await until(lambda: seen.sum("records_total", topic=topic, outcome="analyzed") == COUNT)
        lanes = await _until_lanes(seen, topic, lambda found: all(one["lag"] == 0 for one in found))
        assert sum(lane["committed"] < lane["end"] for lane in lanes) == 0
        assert seen.sum("lag_seconds", topic=topic) == 0
        for name in ("end_to_end_seconds_count", "publish_seconds_count"):
            assert seen.sum(name, topic=topic) == COUNT
        for name in ("queue_seconds_count", "engine_seconds_count"):
            assert seen.sum(name, kind="sentiment") == COUNT
        assert seen.sum("end_to_end_seconds_sum", topic=topic) > seen.sum("engine_seconds_sum", kind="sentiment")
        assert seen.sum("commit_seconds_count", outcome="committed") > 0
        assert seen.sum("rebalances_total") >= 1
        assert seen.sum("ready") == 1


async def test_markers_of_upstreams_transactions_are_no_lag(world: World) -> None:
    """Their last offset is no record: nobody can ever commit it, and an alert must not wait for it."""
    topic = world.settings.topics.reviews
    producer = AIOKafkaProducer(
        bootstrap_servers=world.settings.kafka.bootstrap_servers, transactional_id=f"{topic}-upstream"
    )
    async with producer, producer.transaction():
        for number in range(4):
            key, value = review(1, number)
            await producer.send(topic, key=key, value=value, headers=[("traceparent", TRACE)])
    async with _seen(world, ScriptedEngine()) as seen:
        await until(lambda: seen.sum("records_total", topic=topic, outcome="analyzed") == 4)
        lanes = await _until_lanes(
            seen,
            topic,
            lambda found: len(found) == 2 and all(one["lag"] == 0 and one["end"] is not None for one in found),
        )
        assert [lane["end"] - (lane["committed"] or 0) for lane in lanes if lane["end"]] == [1]
    results = await world.read(world.settings.topics.sentiment)
    assert [dict(result.headers)["traceparent"] for result in results] == [TRACE] * 4
