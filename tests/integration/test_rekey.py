"""`review-consumer rekey` on a real broker: every record copied once, whatever is killed, and otherwise as it was."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from consumer.errors import ConfigError, Fenced
from consumer.pipeline.rekey import Count, Plan, Rekey
from deploy.kafka.sources import Kafka
from schemas.codec import encode_document
from schemas.topics import murmur2_partition
from tests.integration.world import PATIENCE, World
from tests.kafka_broker import create_topic

SOURCE_PARTITIONS = 3
FIRST = int(time.time() * 1000) - 3_600_000
"""Timestamp of the first record: an hour ago, as retention counts from it."""
BAD: list[tuple[bytes | None, str]] = [(None, "null_value"), (b"{", "not_json"), (b'{"review_id": 1}', "invalid_event")]


@pytest.fixture
async def world(kafka: Kafka, topic_prefix: str) -> World:
    """Topics of this test's own, with four partitions, and a source."""
    made = World(kafka.bootstrap_servers, topic_prefix, partitions=4)
    await made.create()
    await create_topic(kafka.bootstrap_servers, source_of(made), SOURCE_PARTITIONS, {})
    return made


def source_of(world: World) -> str:
    """The topic that is keyed some other way."""
    return f"{world.settings.topics.reviews}.old"


async def fill(world: World, count: int, first: int = 0) -> None:
    """Records keyed by review, by nothing, or by the restaurant; one in 50 is none."""
    producer = AIOKafkaProducer(bootstrap_servers=world.settings.kafka.bootstrap_servers)
    async with producer:
        sent = [
            await producer.send(source_of(world), **record(n), headers=marks(n)) for n in range(first, first + count)
        ]
        await asyncio.gather(*sent)


def record(number: int) -> dict[str, Any]:
    """One record, known by its timestamp."""
    if number % 50 == 49:
        value = BAD[number // 50 % len(BAD)][0]
    else:
        value = encode_document({"review_id": number, "restaurant_id": number % 17, "content": f"맛있어요 {number}"})
    key = (None, f"review-{number}".encode(), str(number % 17).encode())[number % 3]
    place = number % SOURCE_PARTITIONS
    return {"key": key, "value": value, "partition": place, "timestamp_ms": FIRST + number}


def marks(number: int) -> list[tuple[str, bytes]]:
    """Headers; names may repeat."""
    return [("n", str(number).encode()), ("n", b"\xff\x00"), ("empty", b"")]


def rekey(world: World, plan: Plan | None = None, tell: Callable[[Count, int], None] = lambda *_: None) -> Rekey:
    """A run in this process."""
    return Rekey(world.settings, source_of(world), plan or Plan(), time.time, tell)


async def check(world: World, count: int) -> None:
    """Every record once: its copy byte for byte at its restaurant's place and in order, or its dead letter."""
    copies, letters = await world.read(world.settings.topics.reviews), await world.read(world.settings.topics.dlq)
    numbers = [r.timestamp - FIRST for r in copies + letters]
    assert sorted(numbers) == list(range(count))
    order: dict[tuple[int, int], list[int]] = defaultdict(list)
    for copy in copies:
        number = copy.timestamp - FIRST
        key = str(number % 17).encode()
        assert (copy.key, copy.value, list(copy.headers)) == (key, record(number)["value"], marks(number))
        assert copy.partition == murmur2_partition(key, world.partitions)
        order[number % SOURCE_PARTITIONS, copy.partition].append(number)
    assert all(row == sorted(row) for row in order.values())
    reasons = dict(BAD)
    for letter in letters:
        number, found = letter.timestamp - FIRST, list(letter.headers)
        assert (letter.key, letter.value, found[:3]) == (record(number)["key"], record(number)["value"], marks(number))
        assert dict(found)["dlq.reason"].decode() == reasons[letter.value]
        assert dict(found)["dlq.source"].decode().startswith(f"{source_of(world)}/{number % SOURCE_PARTITIONS}/")


def test_every_bad_value_has_its_reason() -> None:
    """The list that `check` goes by."""
    assert len(dict(BAD)) == len(BAD)


async def test_everything_is_copied_once_and_a_second_run_copies_the_rest(world: World) -> None:
    """It ends at the end that it saw; what came later is the next run's."""
    await fill(world, 300)
    first = rekey(world)
    assert await first.run()
    assert (first.count.copied, first.count.dead.total()) == (294, 6)
    await check(world, 300)
    await fill(world, 100, first=300)
    second = rekey(world)
    assert await second.run()
    assert second.count.all == 100
    await check(world, 400)
    again = rekey(world)
    assert await again.run()
    assert again.count.all == 0


async def test_a_dry_run_counts_and_writes_nothing(world: World) -> None:
    """Neither records nor offsets."""
    await fill(world, 200)
    for _ in range(2):
        dry = rekey(world, Plan(dry=True))
        assert await dry.run()
        assert (dry.count.copied, dict(dry.count.dead)) == (196, {"null_value": 2, "not_json": 1, "invalid_event": 1})
    assert await world.read(world.settings.topics.reviews) == []


async def test_following_goes_on_until_stopped(world: World) -> None:
    """And a second run of the same topic takes over from the first, which stops."""
    await fill(world, 50)
    first, second = rekey(world, Plan(follow=True)), rekey(world, Plan(follow=True))
    one = asyncio.create_task(first.run())
    await _until(lambda: one.done() or first.count.all == 50)
    assert not one.done(), one.exception()
    two = asyncio.create_task(second.run())
    await _until(lambda: second._copy._producer is not None and second._copy._producer._sender.sender_task is not None)
    await fill(world, 50, first=50)
    with pytest.raises(Fenced, match="another copier"):
        async with asyncio.timeout(PATIENCE):
            await one
    await _until(lambda: second.count.all == 50)
    second.stop()
    assert await two
    await check(world, 100)


async def test_what_cannot_be_done_is_said_before_anything_is_read(world: World) -> None:
    """A topic into itself; a topic that is not there."""
    with pytest.raises(ConfigError, match="cannot be copied into itself"):
        Rekey(world.settings, world.settings.topics.reviews, Plan(), time.time, lambda *_: None)
    with pytest.raises(ConfigError, match="no such topic: nowhere"):
        await Rekey(world.settings, "nowhere", Plan(), time.time, lambda *_: None).run()


async def test_a_record_too_large_for_the_reviews_topic_stops_it(kafka: Kafka, topic_prefix: str) -> None:
    """Nothing is left out in silence: the record is named, and the offsets stay before it."""
    world = World(kafka.bootstrap_servers, topic_prefix, partitions=1)
    await create_topic(kafka.bootstrap_servers, source_of(world), 1, {})
    await create_topic(kafka.bootstrap_servers, world.settings.topics.reviews, 1, {"max.message.bytes": "2000"})
    await create_topic(kafka.bootstrap_servers, world.settings.topics.dlq, 1, {})
    noise = os.urandom(4000).hex()
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        for content in ("맛있어요", noise):
            value = encode_document({"review_id": 1, "restaurant_id": 1, "content": content})
            await producer.send_and_wait(source_of(world), value)
    for _ in range(2):
        with pytest.raises(ConfigError, match=rf"{source_of(world)}/0/1 with 8\d\d\d bytes"):
            await rekey(world).run()
    assert await world.read(world.settings.topics.reviews) == []


def process(world: World) -> "subprocess.Popen[str]":
    """The command."""
    command = [sys.executable, "-m", "consumer.cli", "rekey", source_of(world)]
    return subprocess.Popen(  # noqa: S603 - our own command
        command, env=world.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


async def test_killed_in_the_middle_and_run_again_it_copies_everything_once(world: World) -> None:
    """SIGTERM ends it with status 1 and kill -9 at once; after one more run a reader sees each record once."""
    count, kills = 20_000, 0
    await fill(world, count)
    with process(world) as running:
        seen = await _grown(world, 0)
        running.send_signal(signal.SIGTERM)
        said = await asyncio.to_thread(running.communicate, timeout=PATIENCE)
    assert (running.returncode, "stopped before the end; run it again" in said[1]) == (1, True), said
    while kills < 2:
        with process(world) as running:
            seen = await _grown(world, seen)
            kills += running.poll() is None
            running.kill()
    with process(world) as running:
        said = await asyncio.to_thread(running.communicate, timeout=PATIENCE)
    assert running.returncode == 0, said
    assert re.match(r"copied [1-9]\d* of .* dead letters \(invalid_event ", said[0]), said
    await check(world, count)


async def _grown(world: World, than: int) -> int:
    """Wait until more is visible in the reviews topic; say how much."""
    topic = world.settings.topics.reviews
    consumer = AIOKafkaConsumer(
        bootstrap_servers=world.settings.kafka.bootstrap_servers, isolation_level="read_committed"
    )
    async with consumer, asyncio.timeout(PATIENCE):
        while True:
            ends = await consumer.end_offsets([TopicPartition(topic, n) for n in range(world.partitions)])
            if sum(ends.values()) > than:
                return sum(ends.values())
            await asyncio.sleep(0.01)


async def _until(found: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not found():
            await asyncio.sleep(0.02)
