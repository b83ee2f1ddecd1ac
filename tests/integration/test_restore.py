"""How lanes open on a real broker: local stores that are gone or wrong, newer formats, other partition counts."""

import asyncio
import logging
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from consumer.errors import ConfigError
from consumer.kafka import admin
from consumer.kafka.changelog import Changelog
from consumer.state_dir import StateDirectory
from consumer.store.disk import SqliteStore, store_file
from consumer.stream.changelog import mark_entry
from consumer.stream.place import FORMAT, LaneMark, Place
from consumer.stream.record import Partition
from consumer.stream.state import Changes, RestaurantState
from deploy.kafka.sources import Kafka
from schemas.results import RestaurantSummary, SentimentTotals
from schemas.topics import murmur2_partition, state_topic, topic_specs
from tests.integration.scripted import ScriptedEngine, review
from tests.integration.world import World, until

SECONDS = 60


def lane_of(world: World, restaurant: str) -> Partition:
    """The lane of a restaurant's reviews."""
    return Partition(world.settings.topics.reviews, murmur2_partition(restaurant.encode(), world.partitions))


def changelog_of(world: World) -> str:
    """The state topic of the reviews."""
    return state_topic(world.settings.delivery.kafka_group_id, world.settings.topics.reviews)


async def final(world: World) -> tuple[object, ...]:
    """What the outputs say in the end, without times and versions, once each review is in a summary."""
    async with asyncio.timeout(SECONDS):
        while True:
            totals = await world.latest(world.settings.topics.totals, SentimentTotals)
            summaries = await world.latest(world.settings.topics.summary, RestaurantSummary)
            counts = {k: (t.positive_count, t.negative_count) for k, t in totals.items() if t}
            said = {k: (s.positive_count, s.negative_count) for k, s in summaries.items() if s}
            if counts == said:
                break
            await asyncio.sleep(0.2)
    results = Counter((r.review_id, r.review_version, r.outcome, r.sentiment) for r in await world.results())
    aspects = {k: [a.aspect for a in s.positive_aspects] for k, s in summaries.items() if s}
    return counts, results, aspects


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
async def test_deleting_state_dir_between_two_runs_changes_nothing(
    kafka: Kafka, topic_prefix: str, delivery: str
) -> None:
    """Edits, repeats and deletions of what the first run has read are known to the second, from the changelog."""
    found = []
    for deleted in (False, True):
        world = World(kafka.bootstrap_servers, f"{topic_prefix}{deleted}.", partitions=2)
        world.tuned("delivery", delivery=delivery)
        await world.create()
        first = [review(n % 3, n, comparison_group="g") for n in range(30)]
        await world.send(first)
        async with world.running(ScriptedEngine()):
            await world.until_answered(30)
        if deleted:
            shutil.rmtree(world.settings.service.state_dir)
        await world.send([*first[:6], *(review(n % 3, n, "바뀐 글", version=2) for n in range(6, 12))])
        await world.send([(b"0", b'{"review_id": 12, "restaurant_id": 0, "content": null, "version": 3}')])
        async with world.running(engine := ScriptedEngine()):
            await world.until_answered(43)
            found.append((await final(world), engine.asked["바뀐 글"]))
    assert found[0] == found[1]
    assert found[0][1] == 6


async def test_a_store_that_is_ahead_of_its_changelog_is_thrown_away(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The topic was deleted and made anew: what the store holds is nobody's truth any more."""
    await world.send([review(1, n) for n in range(30)])
    async with world.running(ScriptedEngine()):
        await world.until_answered(30)
    await make_anew(world)
    with caplog.at_level(logging.WARNING, "consumer.pipeline.worker"):
        async with world.running(engine := ScriptedEngine(), origin="beginning"):
            results, _ = await world.until_answered(60)
    assert "the local state is thrown away" in caplog.text
    assert sum(engine.asked.values()) == 30
    assert {r.outcome for r in results} == {"analyzed"}


async def make_anew(world: World) -> None:
    """Delete the reviews' changelog and create it again."""
    client = AIOKafkaAdminClient(bootstrap_servers=world.settings.kafka.bootstrap_servers)
    await client.start()
    try:
        await client.delete_topics([changelog_of(world)])
        async with asyncio.timeout(SECONDS):
            while changelog_of(world) in await client.list_topics():
                await asyncio.sleep(0.1)
    finally:
        await client.close()
    await world.create()


async def test_a_store_of_an_earlier_changelog_is_thrown_away_though_that_has_grown(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Its position is there, its commits are not: they are numbered over all owners."""
    await world.send([review(1, n) for n in range(30)])
    async with world.running(ScriptedEngine()):
        await world.until_answered(30)
    lane = lane_of(world, "1")
    directory = StateDirectory(world.settings.service.state_dir, world.settings.delivery.kafka_group_id)
    store = SqliteStore(store_file(directory.open(), lane), time.time)
    assert store.place.mark
    of_old = Place(LaneMark(store.place.mark.offset, 10_000, 2), 1)
    store.apply(Changes({"1": RestaurantState(1, negative=77)}), of_old)
    store.close()
    directory.close()
    with caplog.at_level(logging.WARNING, "consumer.pipeline.worker"):
        async with world.running(ScriptedEngine()) as member:
            await until(lambda: lane in member.service.workers and member.service.workers[lane].restored)
            restored = member.service.workers[lane].store.restaurant("1")
    assert any("the local state 10000" in str(vars(line).get("error")) for line in caplog.records)
    assert restored
    assert (restored.positive, restored.negative) == (30, 0)


async def test_a_newer_state_format_refuses_its_partition_while_others_work(world: World) -> None:
    """A newer member has worked on it: readiness names it and says what to do; nothing of it is read or committed."""
    newer, other = lane_of(world, "1"), next(str(n) for n in range(9) if lane_of(world, str(n)) != lane_of(world, "1"))
    await world.send([review(1, n) for n in range(5)])
    await write(world, newer.partition, *mark_entry(LaneMark(0, 1, 2, FORMAT + 1)))
    await world.send([review(other, n) for n in range(5)])
    async with world.running(ScriptedEngine()) as member:
        results, letters = await world.until_answered(5)
        await until(lambda: bool(member.service.workers[newer].refusal))
        await until(lambda: any("upgrade this one" in reason for reason in member.health.ready()[1]))
        reasons = [reason for reason in member.health.ready()[1] if "refused" in reason]
    assert len(reasons) == 1
    assert reasons[0].startswith(f"{newer.topic}/{newer.partition} is refused")
    assert ({str(r.restaurant_id) for r in results}, letters) == ({other}, [])
    assert await world.committed() == 5


async def write(world: World, partition: int, key: bytes, value: bytes | None) -> None:
    """One record of the reviews' changelog."""
    async with AIOKafkaProducer(bootstrap_servers=world.settings.kafka.bootstrap_servers) as producer:
        await producer.send_and_wait(changelog_of(world), key=key, value=value, partition=partition)


async def test_another_partition_count_stops_the_consumer_with_the_procedure(world: World) -> None:
    """Grown one topic alone, the check at the start finds it; grown all alike, the state's mark does."""
    await world.send([review(n, n) for n in range(10)])
    async with world.running(ScriptedEngine()):
        await world.until_answered(10)
    specs = topic_specs(world.settings.topics, world.settings.delivery.kafka_group_id)
    await grow(world, [world.settings.topics.reviews])
    uneven = (await admin.check(world.settings.kafka, specs)).problems
    assert any("they must be equal" in problem.message for problem in uneven)
    await grow(world, [spec.name for spec in specs if spec.name != world.settings.topics.reviews])
    assert (await admin.check(world.settings.kafka, specs)).problems == ()
    world.partitions = 3
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(world.member(ScriptedEngine()).service.run(), SECONDS)
    assert caught.group_contains(ConfigError, match=r"its state was made with 2.*review-consumer rekey.*KAFKA_GROUP_ID")
    assert len(await world.results()) == 10


async def grow(world: World, topics: list[str]) -> None:
    """Give topics a third partition."""
    client = AIOKafkaAdminClient(bootstrap_servers=world.settings.kafka.bootstrap_servers)
    await client.start()
    try:
        await client.create_partitions({topic: NewPartitions(3, [[1]]) for topic in topics})
        async with asyncio.timeout(SECONDS):
            while not all(len(t["partitions"]) == 3 for t in await client.describe_topics(topics)):
                await asyncio.sleep(0.1)
    finally:
        await client.close()


async def test_other_partitions_work_while_one_restores(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named as opening, tells how much is left, and takes its records when it is done."""
    slow, other = lane_of(world, "1"), next(str(n) for n in range(9) if lane_of(world, str(n)) != lane_of(world, "1"))
    real, go_on = Changelog.read, asyncio.Event()

    async def read(self: Changelog, lane: Partition, position: int, take: Any) -> None:
        if lane == slow:
            take([], 0, 5000)
            await go_on.wait()
        await real(self, lane, position, take)

    monkeypatch.setattr(Changelog, "read", read)
    await world.send([*(review(1, n) for n in range(5)), *(review(other, n) for n in range(5))])
    async with world.running(ScriptedEngine()) as member:
        results, _ = await world.until_answered(5)
        assert {str(r.restaurant_id) for r in results} == {other}
        assert f"{slow.topic}/{slow.partition} is opening" in member.health.ready()[1]
        go_on.set()
        await world.until_answered(10)


def test_stores_are_named_by_lane() -> None:
    """Two lanes never share a file."""
    names = {store_file(Path("d"), Partition(topic, n)) for topic in ("t", "t.1") for n in (1, 11)}
    assert len(names) == 4
