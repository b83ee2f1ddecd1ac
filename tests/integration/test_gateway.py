"""The gateway on a real broker, over real sockets, against a responder by rule."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from deploy.kafka.sources import Kafka
from producer.gateway import examples
from producer.gateway.gate import REQUEST_ID
from schemas.codec import encode, group_key
from schemas.results import Provenance, RestaurantStrengths, RestaurantSummary, SentimentTotals
from schemas.topics import TopicNames
from tests.integration.gateways import Gateway, serving, topics_for
from tests.integration.http_client import connected, events, head, read_head, read_reply
from tests.integration.responder import FAILS, MUTE, Responder
from tests.integration.world import until
from tests.kafka_broker import MakeTopic

SENTIMENT = "/api/v1/sentiment/analyze/batch"
SUMMARY = "/api/v1/llm/summarize/batch"
STRENGTHS = "/api/v1/llm/extract/strengths/batch"
LATEST = "/api/v1/restaurants/"


def body(*restaurants: str | int) -> dict[str, Any]:
    """A sentiment request with one review a restaurant."""
    return {"restaurants": [{"restaurant_id": r, "reviews": [{"content": "맛있어요"}]} for r in restaurants]}


@pytest.fixture
async def topics(make_topic: MakeTopic) -> TopicNames:
    """Topics of this test's own."""
    return await topics_for(make_topic)


@pytest.fixture
async def responder(kafka: Kafka, topics: TopicNames) -> AsyncIterator[Responder]:
    """Somebody who answers."""
    async with Responder(kafka.bootstrap_servers, topics).answering() as answering:
        yield answering


@pytest.fixture
async def gateway(kafka: Kafka, topics: TopicNames, responder: Responder) -> AsyncIterator[Gateway]:
    """A gateway with somebody who answers, and settings as they come."""
    assert responder
    async with serving(kafka.bootstrap_servers, topics) as one:
        yield one


async def settled(gateway: Gateway) -> None:
    """Nothing is at work, and nothing is waited for."""
    async with asyncio.timeout(20):
        while gateway.parts.room.requests or gateway.parts.client.open_requests:
            await asyncio.sleep(0.02)
    assert (gateway.parts.room.bytes, gateway.parts.client.open_restaurants) == (0, 0)


async def test_the_documented_bodies(gateway: Gateway) -> None:
    """Each of the three: 200, every field, in order."""
    done = await gateway.post(SENTIMENT, examples.SENTIMENT)
    assert done.status == 200
    first, second = done.json()["results"]
    assert done.json()["failed_count"] == 0
    assert [first["restaurant_id"], second["restaurant_id"]] == [1, 2]
    counts = ("positive_count", "negative_count", "neutral_count", "total_count")
    assert [first[name] for name in counts] == [2, 0, 0, 2]
    assert [first[f"{label}_ratio"] for label in ("positive", "negative", "neutral")] == [100, 0, 0]
    assert first["reviews"] == [{"id": None, "sentiment": "positive", "score": 0.9}] * 2

    done = await gateway.post(SUMMARY, examples.SUMMARY)
    assert done.status == 200
    (result,) = done.json()["results"]
    assert set(result) == {"restaurant_id", "overall_summary", "positive_aspects", "negative_aspects",
                           "positive_count", "negative_count", "review_count"}  # fmt: skip
    assert (result["positive_count"], result["negative_count"], result["review_count"]) == (1, 1, 2)

    done = await gateway.post(STRENGTHS, examples.STRENGTH)
    assert done.status == 200
    (result,) = done.json()["results"]
    assert set(result) == {"target_restaurant_id", "strengths", "strength_summary", "comparison_summary",
                           "target_count", "comparison_count"}  # fmt: skip
    assert result["strengths"][0]["evidence"] == [{"review_id": None, "quote": "음식이 맛있고 서비스가 좋아요!"}]


async def test_order_and_errors_in_their_places(gateway: Gateway) -> None:
    """A failed restaurant keeps its place beside the others' results; ids come back in the type received."""
    done = await gateway.post(SENTIMENT, body(7, FAILS, "7", *range(100, 150)))
    assert done.status == 200
    results = done.json()["results"]
    assert [result["restaurant_id"] for result in results] == [7, FAILS, "7", *range(100, 150)]
    assert results[1] == {"restaurant_id": FAILS, "error": {"code": "engine_error", "message": "told to fail"}}
    assert done.json()["failed_count"] == 1
    assert (await gateway.post(SENTIMENT, body())).json() == {"results": [], "failed_count": 0}


async def test_events(kafka: Kafka, topics: TopicNames, responder: Responder) -> None:
    """One event a restaurant as soon as it is ready, with its place; the late one at the time-out; then done."""
    assert responder
    async with serving(kafka.bootstrap_servers, topics, timeout_seconds=3) as gateway:
        done = await gateway.post(SENTIMENT, body(MUTE, 1, FAILS), Accept="text/event-stream")
    assert done.headers["content-type"].startswith("text/event-stream")
    found = events(done.body)
    assert [event["event"] for event in found] == ["result"] * 3 + ["done"]
    assert (sorted(event["id"] for event in found[:2]), found[2]["id"]) == (["1", "2"], "0")
    assert json.loads(found[2]["data"])["error"]["code"] == "timeout"
    assert json.loads(found[3]["data"]) == {"count": 3, "failed_count": 2}
    by_place = {event["id"]: json.loads(event["data"]) for event in found[:3]}
    assert by_place["1"]["positive_count"] == 1


async def test_the_first_event_does_not_wait_for_the_last(gateway: Gateway) -> None:
    """It arrives while another restaurant is still unanswered."""
    content = json.dumps(body(MUTE, 1)).encode()
    sent = {"Content-Length": str(len(content)), "Accept": "text/event-stream"}
    async with asyncio.timeout(20), connected(gateway.port) as (reader, writer):
        writer.write(head("POST", SENTIMENT, sent) + content)
        assert (await read_head(reader))[0] == 200
        assert b"id: 1\n" in await reader.readuntil(b"\n\n")
        assert gateway.parts.client.open_requests == 1
    await settled(gateway)


async def test_time_outs(kafka: Kafka, topics: TopicNames, responder: Responder) -> None:
    """Some ready: 200, `timeout` in the missing places. Nothing ready: 504. Replies came since: nobody is refused."""
    assert responder
    async with serving(kafka.bootstrap_servers, topics, timeout_seconds=2) as gateway:
        done = await gateway.post(SENTIMENT, body(1, MUTE))
        assert (done.status, done.json()["failed_count"]) == (200, 1)
        assert done.json()["results"][1]["error"]["code"] == "timeout"
        done = await gateway.post(SENTIMENT, body(MUTE))
        assert (done.status, done.json()["error"]["code"]) == (504, "timeout")
        assert (await gateway.post(SENTIMENT, body(1))).status in (200, 503)


async def test_when_nobody_answers(kafka: Kafka, topics: TopicNames) -> None:
    """504 twice, the second one to try; then 503 with Retry-After at once, until somebody answers."""
    async with serving(kafka.bootstrap_servers, topics, timeout_seconds=1) as gateway:
        assert [(await gateway.post(SENTIMENT, body(1))).status for _ in range(2)] == [504, 504]
        done = await gateway.post(SENTIMENT, body(1))
        assert (done.status, done.json()["error"]["code"]) == (503, "unavailable")
        assert 1 <= int(done.headers["retry-after"]) <= 5
        async with Responder(kafka.bootstrap_servers, topics).answering():
            async with asyncio.timeout(30):
                while (await gateway.post(SENTIMENT, body(1))).status != 200:
                    await asyncio.sleep(0.5)
            assert not gateway.parts.client.silent


async def test_wrong_bodies(gateway: Gateway) -> None:
    """422 with the place, in FastAPI's form; the value, which may be long, is not sent back."""
    wrong = body(1, 2)
    wrong["restaurants"][1]["reviews"][0]["content"] = 5
    wrong["restaurants"][0]["restaurant_id"] = ["secret"]
    done = await gateway.post(SENTIMENT, wrong | {"max_tokens_per_batch": 999})
    assert done.status == 422
    places = [found["loc"] for found in done.json()["detail"]]
    assert ["body", "restaurants", 1, "reviews", 0, "content"] in places
    assert ["body", "restaurants", 0, "restaurant_id"] in places
    assert ["body", "max_tokens_per_batch"] in places
    assert b"secret" not in done.body
    for broken in (b"{", b"", b"[]", b"\xff", b'{"restaurants": NaN}', b"[" * 5000):
        done = await gateway.post(SENTIMENT, broken)
        assert (done.status, done.json()["detail"][0]["loc"]) == (422, ["body"])
    huge = b'{"restaurants":[{"restaurant_id":99999999999999999999999,"reviews":[]}]}'
    assert (await gateway.post(SENTIMENT, huge)).status == 422  # no reader of ours could read it back
    assert (await gateway.get(SENTIMENT)).status == 405
    assert (await gateway.get("/nowhere")).json()["error"]["code"] == "not_found"
    await settled(gateway)


async def test_too_large(kafka: Kafka, topics: TopicNames, responder: Responder) -> None:
    """413 above each limit: bytes with and without their number told beforehand, restaurants, reviews."""
    assert responder
    limits: dict[str, Any] = {"max_body_bytes": 2000, "max_restaurants": 3, "max_reviews": 3}
    async with serving(kafka.bootstrap_servers, topics, **limits) as gateway:
        found = [(await gateway.post(SENTIMENT, content)) for content in (b" " * 2001, body(1, 2, 3, 4))]
        many = {"restaurants": [{"restaurant_id": 1, "reviews": [{"content": "a"}] * 4}]}
        found.append(await gateway.post(SENTIMENT, many))
        async with connected(gateway.port) as (reader, writer):
            chunk = b"400\r\n" + b" " * 0x400 + b"\r\n"
            writer.write(head("POST", SENTIMENT, {"Transfer-Encoding": "chunked"}) + chunk * 2)
            found.append(await read_reply(reader))
        assert [done.status for done in found] == [413] * 4
        codes = [done.json()["error"]["code"] for done in found]
        assert codes == ["too_many_bytes", "too_many_restaurants", "too_many_reviews", "too_many_bytes"]
        await settled(gateway)


async def test_saturated(kafka: Kafka, topics: TopicNames, responder: Responder) -> None:
    """503 with Retry-After where as many as allowed are at work; health and metrics still answer."""
    assert responder
    async with serving(kafka.bootstrap_servers, topics, max_concurrent_requests=2, timeout_seconds=3) as gateway:
        held = [asyncio.create_task(gateway.post(SENTIMENT, body(MUTE))) for _ in range(2)]
        async with asyncio.timeout(10):
            while gateway.parts.client.open_requests < 2:
                await asyncio.sleep(0.02)
        done = await gateway.post(SENTIMENT, body(1))
        assert (done.status, done.headers["retry-after"]) == (503, "1")
        assert (await gateway.get("/livez")).status == (await gateway.get("/readyz")).status == 200
        metrics = (await gateway.get("/metrics")).body.decode()
        assert "review_gateway_in_flight_requests 2.0" in metrics
        assert [(await task).status for task in held] == [504, 504]
        await settled(gateway)


async def test_ids_keys_and_origins(kafka: Kafka, topics: TopicNames, responder: Responder) -> None:
    """A request's id comes back and begins the one in Kafka; keys are asked for, but not for health; CORS answers."""
    changes = {"api_keys": "one, two", "cors_origins": "https://shop.example"}
    async with serving(kafka.bootstrap_servers, topics, **changes) as gateway:
        assert (await gateway.post(SENTIMENT, body(1))).status == 401
        assert (await gateway.post(SENTIMENT, body(1), X_API_Key="three")).status == 401
        done = await gateway.post(
            SENTIMENT, body(1), X_API_Key="two", X_Request_ID="abc-1", Origin="https://shop.example"
        )
        assert (done.status, done.headers[REQUEST_ID.lower()]) == (200, "abc-1")
        assert done.headers["access-control-allow-origin"] == "https://shop.example"
        assert responder.seen[-1][0].request_id.startswith("abc-1.")
        done = await gateway.post(SENTIMENT, body(1), X_API_Key="two", X_Request_ID="a b")
        assert (done.status, done.json()["detail"][0]["loc"]) == (422, ["header", REQUEST_ID])
        assert (await gateway.get("/livez")).headers[REQUEST_ID.lower()]
        assert "securitySchemes" in (await gateway.get("/openapi.json")).json()["components"]


async def test_two_gateways_side_by_side(kafka: Kafka, topics: TopicNames, responder: Responder) -> None:
    """Each reply reaches the one that asked."""
    assert responder
    address = kafka.bootstrap_servers
    async with serving(address, topics) as one, serving(address, topics) as other:
        calls = [gateway.post(SENTIMENT, body(f"{n}-a", f"{n}-b")) for n in range(20) for gateway in (one, other)]
        for number, done in enumerate(await asyncio.gather(*calls)):
            ids = [result["restaurant_id"] for result in done.json()["results"]]
            assert ids == [f"{number // 2}-a", f"{number // 2}-b"]
        await until(lambda: one.parts.client.dropped.unknown > 0)  # the other's, which may come after its own


async def test_two_hundred_calls_among_bad_clients(kafka: Kafka, topics: TopicNames, responder: Responder) -> None:
    """Slow, dropped and malformed ones hold up nobody, and nothing of theirs is left: no task, no pending reply."""
    assert responder
    async with serving(kafka.bootstrap_servers, topics, body_timeout_seconds=2) as gateway:
        await gateway.post(SENTIMENT, body(1))
        before = len(asyncio.all_tasks())
        good = [gateway.post(SENTIMENT, body(n)) for n in range(200)]
        bad = [work for _ in range(10) for work in (_drops(gateway), _dawdles(gateway), _babbles(gateway))]
        replies = (await asyncio.gather(*good, *bad))[:200]
        assert [done.status for done in replies if done] == [200] * 200
        await settled(gateway)
        async with asyncio.timeout(20):
            while len(asyncio.all_tasks()) > before:
                await asyncio.sleep(0.05)


async def _drops(gateway: Gateway) -> None:
    """Asks for what nobody answers, and hangs up."""
    content = json.dumps(body(MUTE)).encode()
    async with connected(gateway.port) as (_, writer):
        writer.write(head("POST", SENTIMENT, {"Content-Length": str(len(content))}) + content)
        await asyncio.sleep(0.5)


async def _dawdles(gateway: Gateway) -> None:
    """Begins a body and never ends it: 408."""
    async with connected(gateway.port) as (reader, writer):
        writer.write(head("POST", SENTIMENT, {"Content-Length": "1000"}) + b"{")
        assert (await read_reply(reader)).status == 408


async def _babbles(gateway: Gateway) -> None:
    """Speaks no HTTP."""
    async with connected(gateway.port) as (reader, writer):
        writer.write(b"\x16\x03\x01 nonsense\r\n\r\n")
        await reader.read()


async def test_the_latest_of_a_restaurant(kafka: Kafka, topics: TopicNames) -> None:
    """What lay there before the start and what comes later; of two groups the newer; gone with its tombstones."""
    provenance = Provenance(engine="local", model="m", prompt="p/1")
    totals = SentimentTotals(
        restaurant_id="7", positive_count=1, negative_count=0, neutral_count=0, total_count=1,
        positive_ratio=100, negative_ratio=0, neutral_ratio=0, updated_at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    summary = RestaurantSummary(
        restaurant_id="7", overall_summary="good", positive_aspects=(), negative_aspects=(), positive_count=1,
        negative_count=0, review_count=1, version=1, language="ko", provenance=provenance,
    )  # fmt: skip
    strengths = [
        RestaurantStrengths(
            restaurant_id="7", strengths=(), strength_summary=f"v{version}", comparison_summary="", compared_with=0,
            comparison_group=group, version=version, provenance=provenance,
        )
        for group, version in (("new", 2), ("old", 1))
    ]  # fmt: skip
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        await producer.send_and_wait(topics.totals, encode(totals), b"7")
        for found in strengths:
            await producer.send_and_wait(topics.strength, encode(found), group_key(found.comparison_group, "7"))
        async with serving(kafka.bootstrap_servers, topics) as gateway:
            done = (await gateway.get(f"{LATEST}7")).json()
            assert (done["restaurant_id"], done["totals"]["total_count"], done["summary"]) == ("7", 1, None)
            assert done["strengths"]["strength_summary"] == "v2"
            assert (await gateway.get(f"{LATEST}8")).json()["error"]["code"] == "unknown_restaurant"
            assert (await gateway.get(f"{LATEST}a/b%20c")).status == 404
            assert (await gateway.get(LATEST + "x" * 257)).status == 422
            await producer.send_and_wait(topics.summary, encode(summary), b"7")
            await _until(gateway, lambda latest: latest["summary"] is not None)
            await producer.send_and_wait(topics.strength, None, group_key("new", "7"))
            await _until(gateway, lambda latest: latest["strengths"]["strength_summary"] == "v1")


async def _until(gateway: Gateway, holds: Any) -> None:
    async with asyncio.timeout(20):
        while not holds((await gateway.get(f"{LATEST}7")).json()):
            await asyncio.sleep(0.05)
