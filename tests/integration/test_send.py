"""`review-producer send` and `watch` against a real broker: as a person runs them."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.kafka.sources import Kafka
from producer.board import Board
from producer.embedded import embedded_broker
from producer.kafka.client import MAX_EVENT_BYTES, Sender
from producer.kafka.tail import Received, Tail, committed_records
from producer.sample import HOME
from producer.watch import watch
from schemas.codec import encode
from schemas.connection import KafkaConnection
from schemas.headers import EventType, cloud_event
from schemas.results import SentimentTotals
from schemas.topics import TopicNames, murmur2_partition
from tests.kafka_broker import MakeTopic

REPOSITORY = Path(__file__).resolve().parents[2]
HEADERS = cloud_event("id", EventType.REVIEW, "test", datetime(2026, 1, 1, tzinfo=UTC))


def at(address: str) -> KafkaConnection:
    """Make the settings for a broker without log-in."""
    return KafkaConnection.model_construct(bootstrap_servers=address)


def run(
    *arguments: str, address: str | None, stdin: bytes = b"", more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run `review-producer` with that broker in its environment, or none."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("KAFKA_", "TOPIC_"))}
    environment |= {"KAFKA_BOOTSTRAP_SERVERS": address} if address else {}
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "producer.cli", *arguments],
        cwd=REPOSITORY,
        env=environment | dict(more or {}),
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )


async def read(address: str, *topics: str) -> list[Received]:
    """Read all that is there."""
    tail = Tail(at(address), topics, from_beginning=True)
    await tail.start()
    try:
        found = []
        while not await tail.caught_up():
            found += await tail.records(0.2)
        return found
    finally:
        await tail.stop()


async def test_the_sample_lands_where_murmur2_says(kafka: Kafka, make_topic: MakeTopic) -> None:
    """Every event is there once, its bytes as in the file, keyed by its restaurant and placed by Kafka's own rule."""
    topic = await make_topic("reviews", partitions=5)
    done = run("send", str(HOME / "reviews.jsonl"), "--topic", topic, address=kafka.bootstrap_servers)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"sent 383, bad 0: ")
    records = await read(kafka.bootstrap_servers, topic)
    lines = (HOME / "reviews.jsonl").read_bytes().splitlines()
    assert sorted(record.value or b"" for record in records) == sorted(lines)
    for record in records:
        assert record.key is not None
        assert record.value is not None
        assert record.key == str(json.loads(record.value)["restaurant_id"]).encode()
        assert record.partition == murmur2_partition(record.key, 5)
        assert record.header("ce_type") == "restaurant.review.v1"
    assert len({record.header("ce_id") for record in records}) == 383


async def test_events_of_a_restaurant_keep_their_order(kafka: Kafka, make_topic: MakeTopic) -> None:
    """An edit never overtakes its original: within a key the file's order is the topic's."""
    topic = await make_topic("reviews", partitions=3)
    run("send", str(HOME / "reviews.jsonl"), "--topic", topic, address=kafka.bootstrap_servers)
    by_key: dict[bytes, list[bytes]] = {}
    for record in await read(kafka.bootstrap_servers, topic):
        by_key.setdefault(record.key or b"", []).append(record.value or b"")
    for line in (HOME / "reviews.jsonl").read_bytes().splitlines():
        assert by_key[str(json.loads(line)["restaurant_id"]).encode()].pop(0) == line
    assert not any(by_key.values())


async def test_csv_is_sent_and_bad_lines_are_reported(kafka: Kafka, make_topic: MakeTopic) -> None:
    """Status 1, each bad line with its number and reason on standard error, the rest in the topic."""
    topic = await make_topic("reviews")
    lines = (HOME / "reviews.csv").read_bytes() + b"x,y\n1,2,late,-1,,,,,,\n"
    done = run("send", "-", "--format", "csv", "--topic", topic, address=kafka.bootstrap_servers, stdin=lines)
    assert done.returncode == 1
    assert done.stdout.startswith(b"sent 15, bad 2: ")
    first, second = done.stderr.decode().splitlines()
    assert first == "line 18: has 2 cells, the header has 10; a comma in a cell needs quotes"
    assert second == "line 19: version: Input should be greater than or equal to 0"
    assert len(await read(kafka.bootstrap_servers, topic)) == 15


async def test_an_event_too_large_is_a_bad_line_and_hurts_no_neighbour(kafka: Kafka, make_topic: MakeTopic) -> None:
    """The largest that fits is sent; a larger one is refused before it could spoil its batch."""
    topic = await make_topic("reviews", partitions=1)
    event = '{"review_id":%d,"restaurant_id":1,"content":"%s"}\n'
    sizes = (1, MAX_EVENT_BYTES, 1, MAX_EVENT_BYTES - 1024, 1)
    lines = "".join(event % (number, "a" * size) for number, size in enumerate(sizes)).encode()
    done = run("send", "-", "--topic", topic, address=kafka.bootstrap_servers, stdin=lines)
    assert (done.returncode, done.stdout.split(b":")[0]) == (1, b"sent 4, bad 1")
    assert done.stderr.startswith(b"line 2: the event is larger than 1048576 bytes")
    assert len(await read(kafka.bootstrap_servers, topic)) == 4


async def test_standard_input_is_sent_while_it_is_still_open(kafka: Kafka, make_topic: MakeTopic) -> None:
    """A pipe that falls silent does not hold up what came before."""
    topic = await make_topic("reviews", partitions=1)
    environment = os.environ | {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "producer.cli", "send", "-", "--topic", topic),
        cwd=REPOSITORY,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(b'{"review_id":1,"restaurant_id":1,"content":"a"}\n')
    await process.stdin.drain()
    async with asyncio.timeout(20):
        while not await read(kafka.bootstrap_servers, topic):
            await asyncio.sleep(0.1)
    out, _ = await process.communicate(b'{"review_id":2,"restaurant_id":1,"content":"b"}\n')
    assert process.returncode == 0
    assert out.startswith(b"sent 2, bad 0")


async def test_the_rate_is_kept(kafka: Kafka, make_topic: MakeTopic) -> None:
    """Fifteen events at ten a second take 1.4 s, and not much longer."""
    topic = await make_topic("reviews", partitions=1)
    done = run("send", str(HOME / "reviews.csv"), "--rate", "10", "--topic", topic, address=kafka.bootstrap_servers)
    assert done.returncode == 0
    seconds = float(done.stdout.rpartition(b",")[2].split()[0])
    assert 1.4 <= seconds < 10


def test_a_missing_topic_says_how_to_create_it(kafka: Kafka, topic_prefix: str) -> None:
    """Status 2, and nothing is created."""
    done = run("send", str(HOME / "reviews.csv"), "--topic", f"{topic_prefix}none", address=kafka.bootstrap_servers)
    assert done.returncode == 2
    assert done.stderr.decode() == (
        f"error: topic {topic_prefix}none does not exist; create it with `review-consumer topics create`\n"
    )


def test_no_broker_ends_soon_and_says_what_to_check() -> None:
    """Nothing listens there: the address and the reason, at once."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    started = time.monotonic()
    done = run("send", str(HOME / "reviews.csv"), address=address)
    assert done.returncode == 2
    assert f"no broker answered at {address}" in done.stderr.decode()
    assert "nothing listens" in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert time.monotonic() - started < 15


@pytest.mark.parametrize(
    ("arguments", "address", "more", "says"),
    [
        (["send", "x.csv"], None, {}, "KAFKA_BOOTSTRAP_SERVERS is not set"),
        (["send", "/no/such.csv"], "127.0.0.1:1", {}, "/no/such.csv cannot be read"),
        (["send", "x.csv"], "127.0.0.1:1", {"KAFKA_SECURITY_PROTOCOL": "TLS"}, "KAFKA_SECURITY_PROTOCOL: Input should"),
        (["watch"], "127.0.0.1:1", {}, "nothing listens at 127.0.0.1:1"),
        (["send", "x.csv", "--rate", "0"], "127.0.0.1:1", {}, "--rate"),
        (["send"], "127.0.0.1:1", {}, "FILE"),
    ],
)
def test_what_a_person_must_change_is_said_in_one_message(
    arguments: list[str], address: str | None, more: dict[str, str], says: str
) -> None:
    """Status 2 and no traceback."""
    done = run(*arguments, address=address, more=more)
    assert done.returncode == 2
    assert says in done.stderr.decode()
    assert b"Traceback" not in done.stderr


async def test_watch_shows_what_the_topics_hold(kafka: Kafka, make_topic: MakeTopic) -> None:
    """`once` reads all there is and ends; the last totals of a restaurant count."""
    made = [await make_topic(name) for name in ("sentiment", "totals", "summary", "strength")]
    names = TopicNames.model_construct(sentiment=made[0], totals=made[1], summary=made[2], strength=made[3])
    sender = Sender(at(kafka.bootstrap_servers))
    await sender.start()
    for positive in (1, 2, 3):
        delivery = await sender.send(names.totals, b"7", encode(totals(positive)), HEADERS)
        await delivery.place()
    await sender.stop()
    boards: list[Board] = []
    async with asyncio.timeout(20):
        board = await watch(at(kafka.bootstrap_servers), names, boards.append, from_beginning=False, once=True)
    found = board.rows["7"].totals
    assert found is not None
    assert found.positive_count == 3
    assert len(boards) >= 2


def totals(positive: int) -> SentimentTotals:
    """Make totals of one restaurant, all positive."""
    return SentimentTotals(
        restaurant_id=7,
        positive_count=positive,
        negative_count=0,
        neutral_count=0,
        total_count=positive,
        positive_ratio=100,
        negative_ratio=0,
        neutral_ratio=0,
        updated_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


async def test_watch_without_from_beginning_shows_only_what_comes(kafka: Kafka, make_topic: MakeTopic) -> None:
    """What lay there before is not read, what comes after the start is."""
    topic = await make_topic("totals", partitions=1)
    sender = Sender(at(kafka.bootstrap_servers))
    await sender.start()
    await (await sender.send(topic, b"7", b"before", HEADERS)).place()
    tail = Tail(at(kafka.bootstrap_servers), [topic], from_beginning=False)
    await tail.start()
    await (await sender.send(topic, b"7", b"after", HEADERS)).place()
    async with asyncio.timeout(20):
        while not (records := await tail.records(0.2)):
            continue
    assert [record.value for record in records] == [b"after"]
    await tail.stop()
    await sender.stop()


async def test_the_embedded_broker_takes_and_gives_records() -> None:
    """What the demo needs of it: topics at first use, idempotent sends, murmur2, tails, no group's offsets yet."""
    with embedded_broker() as address:
        sender = Sender(at(address))
        await sender.start()
        await sender.touch(["a", "b"])
        place = await (await sender.send("a", b"mapo-smoke", b"v", HEADERS)).place()
        await sender.stop()
        (record,) = await read(address, "a", "b")
        assert (record.topic, record.key, record.value) == ("a", b"mapo-smoke", b"v")
        assert record.partition == place.partition == murmur2_partition(b"mapo-smoke", 4)
        assert await committed_records(at(address), "nobody", "a") == 0
