"""The request client on a real broker, against a responder by rule."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer

from deploy.kafka.sources import Kafka
from producer.asking import Ask, Limits
from producer.blocking import BlockingAnalysisClient
from producer.client import AnalysisClient
from producer.errors import CannotGoOn, NothingReady, TryLater
from schemas.batch import (
    BatchReview,
    FailedRestaurant,
    RatedReview,
    SentimentBatchItem,
    SentimentBatchResult,
    StrengthBatchItem,
    SummaryBatchItem,
)
from schemas.connection import KafkaConnection
from schemas.topics import TopicNames
from tests.integration.responder import FAILS, MUTE, Responder
from tests.kafka_broker import MakeTopic

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def asked(*restaurants: str | int, text: str = "맛있어요") -> list[SentimentBatchItem]:
    """One review a restaurant."""
    return [SentimentBatchItem(restaurant_id=r, reviews=(BatchReview(content=text),)) for r in restaurants]


@pytest.fixture
async def topics(kafka: Kafka, make_topic: MakeTopic) -> TopicNames:
    """Request and reply topics of this test's own."""
    assert kafka
    return TopicNames(requests=await make_topic("requests"), replies=await make_topic("replies", partitions=3))


@pytest.fixture
def connection(kafka: Kafka) -> KafkaConnection:
    """How to reach the broker."""
    return KafkaConnection(bootstrap_servers=kafka.bootstrap_servers)


@asynccontextmanager
async def answered(connection: KafkaConnection, topics: TopicNames, **how: object) -> AsyncIterator[Responder]:
    """A responder at work."""
    async with Responder(connection.bootstrap_servers or "", topics, **how).answering() as responder:  # type: ignore[arg-type]
        yield responder


async def test_results_are_in_order_and_typed(connection: KafkaConnection, topics: TopicNames) -> None:
    """However the replies come, twice or backwards: every restaurant once, in its place, its id as it was given."""
    backwards: Callable[[list[object]], list[object]] = lambda records: records[::-1]  # noqa: E731
    async with answered(connection, topics, copies=2, order=backwards), AnalysisClient(connection, topics) as client:
        response = await client.sentiment(asked(*range(40), "41", FAILS))
        assert [result.restaurant_id for result in response.results] == [*range(40), "41", FAILS]
        assert isinstance(response.results[0], SentimentBatchResult)
        assert response.results[0].positive_count == 1
        assert isinstance(response.results[41], FailedRestaurant)
        assert (response.failed_count, response.results[41].error.code) == (1, "engine_error")
        await asyncio.sleep(0.5)  # for the last repeats, of which none reached anybody
        assert client.dropped.repeats + client.dropped.unknown == 42
        assert (client.open_requests, client.open_restaurants) == (0, 0)


async def test_summaries_and_strengths(connection: KafkaConnection, topics: TopicNames) -> None:
    """The other two kinds, with what a request hands on: priority, budget, deadline, trace, its id."""
    review = RatedReview(content="맛있어요", id="r1")
    summary = SummaryBatchItem(restaurant_id=1, positive_reviews=(review,), negative_reviews=())
    strength = StrengthBatchItem(target_restaurant_id=1, target_reviews=(review,), comparison_reviews=(review,))
    ask = Ask(max_tokens_per_batch=2000, request_id="mine", traceparent=TRACE)
    async with answered(connection, topics) as responder, AnalysisClient(connection, topics) as client:
        summaries, strengths = await asyncio.gather(client.summary([summary], ask), client.strengths([strength], ask))
    assert summaries.results[0].restaurant_id == 1
    assert strengths.results[0].target_restaurant_id == 1
    assert (summaries.failed_count, strengths.failed_count) == (0, 0)
    for request, headers in responder.seen:
        assert (request.max_tokens_per_batch, request.priority, request.count) == (2000, "high", 1)
        assert request.request_id.startswith("mine.")
        assert request.deadline is not None
        assert headers["traceparent"] == TRACE.encode()
        assert headers["ce_type"] == b"restaurant.request.v1"
    assert len({request.request_id for request, _ in responder.seen}) == 2


async def test_a_stream_gives_each_result_when_it_comes(connection: KafkaConnection, topics: TopicNames) -> None:
    """A restaurant that nobody answers holds up none of the others; it comes last, as timed out."""
    async with answered(connection, topics), AnalysisClient(connection, topics) as client:
        answers = [a async for a in client.stream_sentiment(asked(MUTE, 1, 2), Ask(timeout_seconds=3))]
        assert sorted(answer.index for answer in answers[:2]) == [1, 2]
        assert answers[2].index == 0
        assert answers[2].error is not None
        assert answers[2].error.code == "timeout"


async def test_time_outs(connection: KafkaConnection, topics: TopicNames) -> None:
    """Some in time: a response. None in time: NothingReady, and then nobody is kept waiting for nothing."""
    limits = Limits(timeout_seconds=2, probe_seconds=30)
    async with AnalysisClient(connection, topics, limits) as client:
        async with answered(connection, topics):
            response = await client.sentiment(asked(1, MUTE))
            assert response.failed_count == 1
        with pytest.raises(NothingReady):
            await client.sentiment(asked(1))
        assert client.silent
        with pytest.raises(NothingReady):  # the one that is let through
            await client.sentiment(asked(1))
        with pytest.raises(TryLater, match="nobody answers"):
            await client.sentiment(asked(1))
        assert client.open_requests == 0


async def test_cancelled_and_left(connection: KafkaConnection, topics: TopicNames) -> None:
    """A cancelled call, a stream that is left, one that is never begun: nothing is waited for any more."""
    async with answered(connection, topics), AnalysisClient(connection, topics) as client:
        call = asyncio.create_task(client.sentiment(asked(MUTE)))
        await asyncio.sleep(0.2)
        assert client.open_requests == 1
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async for _ in client.stream_sentiment(asked(1, MUTE)):
            break
        client.stream_sentiment(asked(1))
        assert (client.open_requests, client.open_restaurants) == (0, 0)


async def test_more_than_there_is_room_for(connection: KafkaConnection, topics: TopicNames) -> None:
    """Refused at once, with the time to wait; room comes back when a request is over."""
    async with AnalysisClient(connection, topics, Limits(max_pending=3)) as client:
        held = client.stream_sentiment(asked(1, 2))
        with pytest.raises(TryLater):
            await client.sentiment(asked(3, 4))
        with pytest.raises(ValueError, match="at most 3"):
            client.stream_sentiment(asked(1, 2, 3, 4))
        held.close()
        client.stream_sentiment(asked(3, 4)).close()


async def test_clients_side_by_side(connection: KafkaConnection, topics: TopicNames) -> None:
    """Two clients at once, many requests each: every reply reaches the one that asked."""
    async with (
        answered(connection, topics),
        AnalysisClient(connection, topics) as one,
        AnalysisClient(connection, topics) as other,
    ):
        calls = [client.sentiment(asked(f"{n}-a", f"{n}-b")) for n in range(50) for client in (one, other)]
        responses = await asyncio.gather(*calls)
    for number, response in enumerate(responses):
        expected = [f"{number // 2}-a", f"{number // 2}-b"]
        assert [result.restaurant_id for result in response.results] == expected
        assert response.failed_count == 0


async def test_a_restaurant_that_is_too_large(connection: KafkaConnection, topics: TopicNames) -> None:
    """It fails alone, in its place; the producer goes on."""
    huge = asked("huge", text="가" * 400_000)
    async with answered(connection, topics), AnalysisClient(connection, topics) as client:
        response = await client.sentiment([*asked(1), *huge, *asked(2)])
        assert isinstance(response.results[1], FailedRestaurant)
        assert (response.failed_count, response.results[1].error.code) == (1, "too_large")
        assert (await client.sentiment(asked(3))).failed_count == 0


async def test_what_the_broker_refuses(connection: KafkaConnection, make_topic: MakeTopic) -> None:
    """A topic that takes less than we thought: that restaurant fails, and the producer is replaced for the next."""
    requests = await make_topic("requests", config={"max.message.bytes": "20000"})
    topics = TopicNames(requests=requests, replies=await make_topic("replies"))
    async with answered(connection, topics), AnalysisClient(connection, topics) as client:
        response = await client.sentiment(asked("large", text="가" * 10_000))
        assert isinstance(response.results[0], FailedRestaurant)
        assert response.results[0].error.code == "too_large"
        async with asyncio.timeout(20):
            while not client.ready:
                await asyncio.sleep(0.05)
        assert (await client.sentiment(asked(*range(20)))).failed_count == 0


async def test_garbage_among_the_replies(connection: KafkaConnection, topics: TopicNames) -> None:
    """What is no reply, or none of ours, is counted and dropped; a reply about another restaurant fails its place."""
    async with AnalysisClient(connection, topics, Limits(timeout_seconds=10)) as client:
        stream = client.stream_sentiment(asked(1))
        first = asyncio.create_task(anext(stream))
        key = f"{stream.request_id}/0".encode()
        other = (
            f'{{"request_id":"{stream.request_id}","index":0,"count":1,"kind":"summary","result":null,"error":null}}'
        )
        async with AIOKafkaProducer(bootstrap_servers=connection.bootstrap_servers) as producer:
            for written, value in (
                (b"nobody/0", b"{}"),
                (None, b"{}"),
                (b"\xff", b""),
                (key, b"{"),
                (key, other.encode()),
            ):
                await producer.send_and_wait(topics.replies, value, written)
        answer = await first
        assert answer.error is not None
        assert answer.error.code == "invalid_reply"
        assert (client.dropped.unknown, client.dropped.unreadable) == (3, 1)


async def test_without_the_topics(connection: KafkaConnection, topics: TopicNames) -> None:
    """Entering says which is missing, and how to make it."""
    missing = topics.model_copy(update={"requests": f"{topics.requests}-missing"})
    with pytest.raises(CannotGoOn, match="topics create"):
        async with AnalysisClient(connection, missing):
            pass


async def test_the_blocking_twin(connection: KafkaConnection, topics: TopicNames) -> None:
    """The same answers for callers without a loop, from several threads at once; its thread ends with it."""

    def call() -> tuple[int, int, list[int]]:
        with BlockingAnalysisClient(connection, topics, Limits(timeout_seconds=10)) as client:
            response = client.sentiment(asked(1, FAILS))
            streamed = [answer.index for answer in client.stream_sentiment(asked(*range(5)))]
            for _ in client.stream_sentiment(asked(1, MUTE)):
                break
            with pytest.raises(NothingReady):
                client.sentiment(asked(MUTE), Ask(timeout_seconds=1))
        return len(response.results), response.failed_count, sorted(streamed)

    async with answered(connection, topics):
        assert await asyncio.gather(*(asyncio.to_thread(call) for _ in range(3))) == [(2, 1, [0, 1, 2, 3, 4])] * 3
    assert not [thread for thread in threading.enumerate() if thread.name == "analysis-client"]
