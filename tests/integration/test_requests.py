"""Batch requests through the real consumer on a real broker, asked for by the client and over HTTP."""

import asyncio
import gc
import json
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from consumer.analysis.task import Kind, Task
from consumer.engines.contract import Answer, Deliver, Fault, Prepared
from consumer.engines.local.engine import LocalEngine
from consumer.errors import DeadLetter
from consumer.pipeline.requests.in_flight import InFlight
from deploy.kafka.sources import Kafka
from producer.asking import Ask, Limits
from producer.client import AnalysisClient
from producer.gateway import examples
from schemas.batch import BatchReview, FailedRestaurant, SentimentBatchItem, SentimentBatchResult
from schemas.codec import decode, encode
from schemas.events import AnalysisRequest
from schemas.results import AnalysisReply
from tests.integration.gateways import Gateway, serving
from tests.integration.http_client import call, connected, events, head
from tests.integration.scripted import ScriptedEngine, review
from tests.integration.test_command import environment
from tests.integration.world import PATIENCE, World, until

SENTIMENT = "/api/v1/sentiment/analyze/batch"
SUMMARY = "/api/v1/llm/summarize/batch"
STRENGTHS = "/api/v1/llm/extract/strengths/batch"


@pytest.fixture
async def world(kafka: Kafka, topic_prefix: str) -> World:
    """Topics and a group of this test's own, with four partitions."""
    made = World(kafka.bootstrap_servers, topic_prefix, partitions=4)
    await made.create()
    return made


@asynccontextmanager
async def asking(world: World, **limits: Any) -> AsyncIterator[AnalysisClient]:
    """A client on the world's topics."""
    async with AnalysisClient(world.settings.kafka, world.settings.topics, Limits(**limits)) as client:
        yield client


@asynccontextmanager
async def gateway_to(world: World, **changes: Any) -> AsyncIterator[Gateway]:
    """A gateway on the world's topics."""
    async with serving(world.settings.kafka.bootstrap_servers or "", world.settings.topics, **changes) as gateway:
        yield gateway


def restaurants(count: int, reviews: int = 1, text: str = "맛있어요") -> list[SentimentBatchItem]:
    """A sentiment request's items; no two reviews have the same text."""
    return [
        SentimentBatchItem(
            restaurant_id=number, reviews=tuple(BatchReview(content=f"{text} {number}/{n}") for n in range(reviews))
        )
        for number in range(count)
    ]


async def write(world: World, requests: Sequence[tuple[bytes, bytes | None]]) -> None:
    """Records of the requests topic, as somebody without our client writes them."""
    async with AIOKafkaProducer(bootstrap_servers=world.settings.kafka.bootstrap_servers) as producer:
        for key, value in requests:
            await producer.send_and_wait(world.settings.topics.requests, value, key)


async def replies(world: World, count: int) -> list[tuple[bytes, AnalysisReply]]:
    """Wait for so many replies; each with its `ce_id`."""
    async with asyncio.timeout(PATIENCE):
        while len(found := await world.read(world.settings.topics.replies)) < count:
            await asyncio.sleep(0.1)
    return [(dict(record.headers)["ce_id"], decode(AnalysisReply, record.value)) for record in found]


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
async def test_the_documented_bodies(world: World, delivery: str) -> None:
    """Each of the three, in either way of delivery: 200, every field, in order, made by the embedded engine."""
    world.tuned("delivery", delivery=delivery)
    async with world.running(LocalEngine()), gateway_to(world) as gateway:
        done = await gateway.post(SENTIMENT, examples.SENTIMENT)
        assert (done.status, done.json()["failed_count"]) == (200, 0)
        first, second = done.json()["results"]
        assert [first["restaurant_id"], second["restaurant_id"]] == [1, 2]
        counts = ("positive_count", "negative_count", "neutral_count", "total_count")
        assert [first[name] for name in counts] == [2, 0, 0, 2]
        assert [first[f"{label}_ratio"] for label in ("positive", "negative", "neutral")] == [100, 0, 0]
        assert [(found["id"], found["sentiment"]) for found in first["reviews"]] == [(None, "positive")] * 2
        assert all(0.5 < found["score"] <= 1 for found in first["reviews"])

        done = await gateway.post(SUMMARY, examples.SUMMARY)
        assert (done.status, done.json()["failed_count"]) == (200, 0)
        (result,) = done.json()["results"]
        assert set(result) == {"restaurant_id", "overall_summary", "positive_aspects", "negative_aspects",
                               "positive_count", "negative_count", "review_count"}  # fmt: skip
        assert (result["positive_count"], result["negative_count"], result["review_count"]) == (1, 1, 2)
        (praise,), (complaint,) = result["positive_aspects"], result["negative_aspects"]
        assert (praise["aspect"], praise["evidence"][0]["quote"]) == ("food", "음식이 맛있네요!")
        assert (complaint["aspect"], complaint["evidence"][0]["quote"]) == ("service", "서비스가 아쉽네요")

        done = await gateway.post(STRENGTHS, examples.STRENGTH)
        assert (done.status, done.json()["failed_count"]) == (200, 0)
        (result,) = done.json()["results"]
        assert set(result) == {"target_restaurant_id", "strengths", "strength_summary", "comparison_summary",
                               "target_count", "comparison_count"}  # fmt: skip
        assert (result["target_count"], result["comparison_count"]) == (1, 1)
        assert set(result["strengths"][0]) == {"aspect", "claim", "support_count", "support_ratio",
                                               "comparison_ratio", "lift", "evidence"}  # fmt: skip
        assert result["strength_summary"]


async def test_a_huge_review_and_a_restaurant_without_any(world: World) -> None:
    """Of all three kinds: 200, and in each place a result or an error."""
    huge = {"content": "음식이 맛있고 서비스가 좋아요! " * 6000}
    assert len(huge["content"]) > 100_000
    usual = {"content": "음식이 맛있네요!"}
    texts = list(enumerate(([huge], [], [usual])))
    sentiment = [{"restaurant_id": n, "reviews": found} for n, found in texts]
    summary = [{"restaurant_id": n, "positive_reviews": found, "negative_reviews": []} for n, found in texts]
    strength = [{"target_restaurant_id": n, "target_reviews": own, "comparison_reviews": others}
                for n, (own, others) in enumerate((([huge], [usual]), ([], [huge]), ([usual], [])))]  # fmt: skip
    bodies = ((SENTIMENT, "restaurant_id", sentiment), (SUMMARY, "restaurant_id", summary),
              (STRENGTHS, "target_restaurant_id", strength))  # fmt: skip
    async with world.running(LocalEngine()), gateway_to(world) as gateway:
        for path, name, items in bodies:
            done = await gateway.post(path, {"restaurants": items})
            assert done.status == 200
            results = done.json()["results"]
            assert [result[name] for result in results] == [0, 1, 2]
            failed = {result[name]: result["error"]["code"] for result in results if "error" in result}
            assert failed == ({} if path == SENTIMENT else {1: "no_reviews"})


async def test_two_members_share_a_request_and_one_failure_is_alone(world: World) -> None:
    """Both work; results are in order; the restaurant whose review the engine cannot answer has the error."""

    def script(task: Task, _: int) -> Answer | Fault | None:
        return DeadLetter("engine_error", "out of order") if "13/0" in "".join(task.reviews) else None

    engines = ScriptedEngine(script), ScriptedEngine(script)
    async with world.running(engines[0]) as one, world.running(engines[1]) as other, asking(world) as client:
        await until(lambda: all(_request_lanes(world, member) == 2 for member in (one, other)))
        response = await client.sentiment(restaurants(100, reviews=3))
    assert response.failed_count == 1
    for number, result in enumerate(response.results):
        assert result.restaurant_id == number
        if isinstance(result, FailedRestaurant):
            assert (number, result.error.code) == (13, "engine_error")
        else:
            assert result.total_count == 3
    assert all(sum(engine.asked.values()) > 30 for engine in engines)


def _request_lanes(world: World, member: Any) -> int:
    topic = world.settings.topics.requests
    return sum(p.topic == topic and worker.restored for p, worker in member.service.workers.items())


async def test_the_first_result_is_there_long_before_the_last(world: World) -> None:
    """Streamed: the engine waits for the first restaurant's reply when less than a fifth of all reviews is asked."""
    world.tuned("batches", max_concurrent_batches=2)

    def script(_task: Task, _time: int) -> None:
        if not order and sum(engine.asked.values()) == 100:
            engine.gate.clear()

    engine, order = ScriptedEngine(script), list[int]()
    async with world.running(engine), asking(world) as client:
        async for answer in client.stream_sentiment(restaurants(100, reviews=20)):
            assert answer.error is None
            if not order:
                assert sum(engine.asked.values()) < 2000 / 5
            order.append(answer.index)
            engine.gate.set()
    assert sorted(order) == list(range(100))


async def test_a_member_that_dies_in_the_middle(world: World) -> None:
    """Another answers what is left; whoever asked sees each restaurant once, though replies were written twice."""
    stuck = ScriptedEngine()
    stuck.gate.clear()
    lively = ScriptedEngine()
    dying = world.member(stuck)
    task = asyncio.create_task(dying.service.run())
    async with world.running(lively) as other, asking(world) as client:
        await until(lambda: all(_request_lanes(world, member) == 2 for member in (dying, other)))
        seen = []
        stream = client.stream_sentiment(restaurants(60))
        async for answer in stream:
            seen.append(answer.index)
            if len(seen) == 5:
                await world.kill(task)
    assert sorted(seen) == list(range(60))
    assert stuck.asked == {}
    written = await replies(world, 60)
    assert len({ce_id for ce_id, _ in written}) == 60


async def test_written_again_it_has_the_same_id(world: World) -> None:
    """A member that dies before its offset is committed: the reply comes twice, and a reader can tell."""
    await write(world, [(b"r/0", _request("r", deadline=None))])
    async with world.running(ScriptedEngine()):
        ((first, _),) = await replies(world, 1)
    async with AIOKafkaProducer(bootstrap_servers=world.settings.kafka.bootstrap_servers) as producer:
        assert await producer.partitions_for(world.settings.topics.requests)
    await _begin_anew(world)
    async with world.running(ScriptedEngine()):
        written = await replies(world, 2)
    assert [ce_id for ce_id, _ in written] == [first] * 2


async def _begin_anew(world: World) -> None:
    """Set the group's offsets of the requests to 0."""
    from aiokafka import AIOKafkaConsumer, TopicPartition  # noqa: PLC0415 - this test alone

    consumer = AIOKafkaConsumer(
        bootstrap_servers=world.settings.kafka.bootstrap_servers,
        group_id=world.settings.delivery.kafka_group_id,
        enable_auto_commit=False,
    )
    async with consumer:
        places = [TopicPartition(world.settings.topics.requests, n) for n in range(world.partitions)]
        consumer.assign(places)
        assert any([await consumer.committed(place) for place in places])
        await consumer.commit(dict.fromkeys(places, 0))


def _request(request_id: str, deadline: datetime | None, **more: Any) -> bytes:
    item = SentimentBatchItem(restaurant_id=1, reviews=(BatchReview(content="맛있어요"),))
    request = AnalysisRequest(request_id=request_id, index=0, count=1, kind="sentiment", restaurant=item,
                              deadline=deadline, **more)  # fmt: skip
    return encode(request)


async def test_too_late_and_malformed(world: World) -> None:
    """What nobody waits for any more is not asked, and says so; what is no request is a dead letter; others go on."""
    now = datetime.now(UTC)
    bad = [(b"x", b"{"), (b"y", None), (b"z", b'{"request_id": "z"}')]
    good = [
        (b"late/0", _request("late", now - timedelta(seconds=1))),
        (b"well/0", _request("well", now + timedelta(hours=1))),
    ]
    await write(world, [*bad, *good])
    engine = ScriptedEngine()
    async with world.running(engine):
        found = {reply.request_id: reply for _, reply in await replies(world, 2)}
        await until_letters(world, 3)
    assert found["late"].error is not None
    assert found["late"].error.code == "deadline_exceeded"
    assert isinstance(found["well"].result, SentimentBatchResult)
    assert sum(engine.asked.values()) == 1
    letters = {letter.key: (letter.value, letter.reason) for letter in await world.letters()}
    assert letters == {b"x": (b"{", "not_json"), b"y": (None, "null_value"), b"z": (bad[2][1], "invalid_event")}


async def until_letters(world: World, count: int) -> None:
    """Wait for so many dead letters."""
    async with asyncio.timeout(PATIENCE):
        while len(await world.letters()) < count:
            await asyncio.sleep(0.1)


async def test_a_backlog_of_reviews_does_not_keep_a_request_waiting(world: World) -> None:
    """Answered while nearly all of the backlog still waits, though that has paused its partitions."""
    world.tuned("batches", max_concurrent_batches=1)
    world.tuned("lanes", lane_max_records=8000)
    backlog = await world.send([review(n % 50, n) for n in range(20_000)])

    class Slow(ScriptedEngine):
        async def run(self, *args: Any) -> None:
            await asyncio.sleep(0.05)
            await super().run(*args)

    async with world.running(engine := Slow()), asking(world) as client:
        await until(lambda: sum(engine.asked.values()) > 200)
        response = await client.sentiment(restaurants(1, reviews=3))
        assert response.failed_count == 0
        assert sum(engine.asked.values()) < backlog / 4


async def test_the_budget_of_a_request_holds_for_its_items(world: World) -> None:
    """No batch with one of its items is heavier."""
    heaviest: dict[Kind, int] = {}

    class Watching(ScriptedEngine):
        async def run(self, batch: Any, deliver: Any) -> None:
            kind = batch[0].task.kind
            tokens = batch[0].prefix_tokens + sum(prepared.own_tokens for prepared in batch)
            heaviest[kind] = max(heaviest.get(kind, 0), tokens)
            await super().run(batch, deliver)

    async with world.running(Watching()), asking(world) as client:
        await client.sentiment(restaurants(200, reviews=2), Ask(max_tokens_per_batch=1000))
        small = heaviest.pop(Kind.SENTIMENT)
        await client.sentiment(restaurants(200, reviews=2))
    assert small <= 1000 < heaviest[Kind.SENTIMENT] <= 4000


async def test_events_over_http(world: World) -> None:
    """Each restaurant's result as it is ready, then done."""
    async with world.running(LocalEngine()), gateway_to(world) as gateway:
        items = [item.model_dump() for item in restaurants(10, reviews=2)]
        done = await gateway.post(SENTIMENT, {"restaurants": items}, Accept="text/event-stream")
    found = events(done.body)
    assert sorted(int(event["id"]) for event in found[:-1]) == list(range(10))
    assert json.loads(found[-1]["data"]) == {"count": 10, "failed_count": 0}


class Holding(ScriptedEngine):
    """Keeps what says so until the test lets go; answers everything else."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = asyncio.Event()
        self.held = 0

    async def run(self, batch: Sequence[Prepared], deliver: Deliver) -> None:
        """Answer what is free at once."""
        later = [index for index, prepared in enumerate(batch) if "held" in "".join(prepared.task.reviews)]
        free = [index for index in range(len(batch)) if index not in later]
        await super().run([batch[index] for index in free], lambda at, said: deliver(free[at], said))
        self.held += len(later)
        if later:
            await self.let_go.wait()
            await super().run([batch[index] for index in later], lambda at, said: deliver(later[at], said))


async def test_good_calls_wait_for_no_bad_client(world: World) -> None:
    """While clients dawdle, hang up, babble, or take nothing of their reply, 200 others are served; nothing is left."""
    engine = Holding()
    async with world.running(engine) as member, gateway_to(world, body_timeout_seconds=60) as gateway:
        await gateway.post(SENTIMENT, _body("warm"))
        before = len(asyncio.all_tasks())
        async with AsyncExitStack() as stack:
            for number in range(10):
                await _dawdle(gateway, stack)
                await _ask_and_wait(gateway, stack, f"held {number}", Accept="text/event-stream")
                await _ask_and_wait(gateway, stack, f"held too {number}")
            await until(lambda: engine.held == 20)
            good = [gateway.post(SENTIMENT, _body(f"good {number}")) for number in range(200)]
            babble = [gateway.post(SENTIMENT, b"{" * 100) for _ in range(20)]
            done = await asyncio.gather(*good, *babble)
            assert [reply.status for reply in done] == [200] * 200 + [422] * 20
            assert gateway.parts.client.open_requests == 20
        await until(lambda: not gateway.parts.room.requests and not gateway.parts.client.open_requests)
        engine.let_go.set()
        await until(lambda: all(worker.fill().records == 0 for worker in member.service.workers.values()))
        await until(lambda: len(asyncio.all_tasks()) <= before)
        assert gateway.parts.room.bytes == gateway.parts.client.open_restaurants == 0
        for number in range(3):  # the dispatcher's tasks still name what they had last
            await gateway.post(SENTIMENT, _body(f"last {number}"))
        gc.collect()
        assert sum(isinstance(one, InFlight) for one in gc.get_objects()) <= 3


def _body(text: str) -> dict[str, Any]:
    return {"restaurants": [{"restaurant_id": 1, "reviews": [{"content": text}]}]}


async def _dawdle(gateway: Gateway, stack: AsyncExitStack) -> None:
    """Begin a body and never end it."""
    _, writer = await stack.enter_async_context(connected(gateway.port))
    writer.write(head("POST", SENTIMENT, {"Content-Length": "1000"}) + b"{")


async def _ask_and_wait(gateway: Gateway, stack: AsyncExitStack, text: str, **headers: str) -> None:
    """Ask for what is not answered, read nothing, and hang up at the end."""
    content = json.dumps(_body(text)).encode()
    _, writer = await stack.enter_async_context(connected(gateway.port))
    writer.write(head("POST", SENTIMENT, {"Content-Length": str(len(content)), **headers}) + content)


@asynccontextmanager
async def process(world: World, number: int) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """`review-consumer run` as a member of the world's group, and the port of its metrics; killed at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = world.settings
    variables = {f"TOPIC_{name}".upper(): topic for name, topic in settings.topics.model_dump().items()}
    variables |= {
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers or "",
        "KAFKA_GROUP_ID": settings.delivery.kafka_group_id,
        "KAFKA_SESSION_TIMEOUT_SECONDS": "6",
        "METRICS_PORT": str(port),
        "STATE_DIR": str(settings.service.state_dir / str(number)),
        "VLLM_MAX_CONCURRENT_BATCHES": "1",
        "VLLM_MAX_BATCH_SIZE": "10",
    }
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "consumer.cli", "run", env=environment(**variables), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield started, port
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


async def test_a_process_that_is_killed_in_the_middle(world: World) -> None:
    """SIGKILL while its restaurants are at work: the other member answers them, and nobody sees a repeat."""
    topic = world.settings.topics.requests
    async with process(world, 1) as (doomed, one), process(world, 2) as (_, two), asking(world) as client:
        async with asyncio.timeout(PATIENCE):
            while [await _lanes(port, topic) for port in (one, two)] != [2, 2]:
                await asyncio.sleep(0.2)
        seen = []
        async for answer in client.stream_sentiment(restaurants(300, reviews=10)):
            assert answer.error is None
            seen.append(answer.index)
            if len(seen) == 20:
                doomed.kill()
        assert await doomed.wait() == -signal.SIGKILL
    assert sorted(seen) == list(range(300))


async def _lanes(port: int, topic: str) -> int:
    """How many lanes of a topic the member on this port works on."""
    try:
        found = (await call(port, "GET", "/metrics")).body.decode()
    except OSError:
        return 0
    counts = re.findall(rf'^review_consumer_open_partitions{{topic="{re.escape(topic)}"}} (\S+)$', found, re.MULTILINE)
    return sum(int(float(count)) for count in counts)
