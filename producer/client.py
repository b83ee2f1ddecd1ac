"""Asks for analyses of many restaurants at once, over Kafka, and gathers the replies.

    async with AnalysisClient(connection) as client:
        response = await client.sentiment(restaurants)
        async for answer in client.stream_summary(restaurants):
            print(answer.index, answer.result)

Any number of requests share one producer and one reader. Clients side by side do not disturb each other: each reads all
replies and keeps those to its own requests. `producer.blocking` has the same for callers without an event loop.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from producer.asking import AS_USUAL, DEFAULT_LIMITS, Ask, Limits, Question
from producer.background import beside
from producer.errors import TryLater
from producer.following import Follower
from producer.gathering import Dropped, Pending
from producer.kafka.tail import Received
from producer.kinds import SENTIMENT, STRENGTH, SUMMARY, B, I, Kind, R, SentimentPlace, StrengthPlace, SummaryPlace
from producer.outbox import RETRY_SECONDS, Outbox
from producer.silence import Silence
from producer.streams import Stream
from producer.turns import Turns
from schemas.batch import (
    SentimentAnalysisBatchResponse,
    SentimentBatchItem,
    StrengthBatchItem,
    StrengthBatchResponse,
    SummaryBatchItem,
    SummaryBatchResponse,
)
from schemas.codec import Undecodable, decode
from schemas.connection import KafkaConnection
from schemas.results import AnalysisReply
from schemas.topics import TopicNames


class AnalysisClient:
    """To be held by `async with`, on one event loop. Entering raises CannotGoOn: no broker, or a topic is missing.

    A request raises TryLater (no room, no broker, or nobody answers) and, where every place timed out, NothingReady.
    A place that failed alone, or timed out beside others that did not, has an `error` in the response.
    """

    def __init__(
        self, connection: KafkaConnection, topics: TopicNames | None = None, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        names = topics or TopicNames()
        self._limits = limits
        self._pending, self._silence = Pending(limits.max_pending), Silence(limits.probe_seconds)
        self._outbox = Outbox(connection, names.requests)
        self._reader = Follower(connection, [names.replies], self._take, from_beginning=False)
        self._running = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Connect; from then on no reply is missed."""
        reader, outbox = self._reader, self._outbox
        await reader.start()
        try:
            await outbox.start()
        except BaseException:
            await reader.close()
            raise
        await self._running.enter_async_context(beside((reader.run, reader.stop), (outbox.run, outbox.stop)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Flush and disconnect, in bounded time; requests that are open time out."""
        await self._running.aclose()

    @property
    def ready(self) -> bool:
        """Whether a request can be sent, and its replies cannot be missed."""
        return self._outbox.up and self._reader.standing

    @property
    def silent(self) -> bool:
        """Whether nobody answers, as far as is known."""
        return self._silence.silent

    @property
    def open_requests(self) -> int:
        """How many requests are waited for."""
        return len(self._pending)

    @property
    def open_restaurants(self) -> int:
        """How many restaurants these hold."""
        return self._pending.restaurants

    @property
    def dropped(self) -> Dropped:
        """Replies that nobody waited for, since the start."""
        return self._pending.dropped

    async def sentiment(
        self, restaurants: Iterable[SentimentBatchItem], ask: Ask = AS_USUAL
    ) -> SentimentAnalysisBatchResponse:
        """Each restaurant's counts, and each review's label, in the given order."""
        return await self.stream_sentiment(restaurants, ask).gathered(SENTIMENT.response)

    async def summary(self, restaurants: Iterable[SummaryBatchItem], ask: Ask = AS_USUAL) -> SummaryBatchResponse:
        """Each restaurant's summary, in the given order."""
        return await self.stream_summary(restaurants, ask).gathered(SUMMARY.response)

    async def strengths(self, restaurants: Iterable[StrengthBatchItem], ask: Ask = AS_USUAL) -> StrengthBatchResponse:
        """Each restaurant's strengths against its comparison, in the given order."""
        return await self.stream_strengths(restaurants, ask).gathered(STRENGTH.response)

    def stream_sentiment(
        self, restaurants: Iterable[SentimentBatchItem], ask: Ask = AS_USUAL
    ) -> Stream[SentimentBatchItem, SentimentPlace]:
        """The same, each as soon as it is there."""
        return self.stream(SENTIMENT, restaurants, ask)

    def stream_summary(
        self, restaurants: Iterable[SummaryBatchItem], ask: Ask = AS_USUAL
    ) -> Stream[SummaryBatchItem, SummaryPlace]:
        """The same, each as soon as it is there."""
        return self.stream(SUMMARY, restaurants, ask)

    def stream_strengths(
        self, restaurants: Iterable[StrengthBatchItem], ask: Ask = AS_USUAL
    ) -> Stream[StrengthBatchItem, StrengthPlace]:
        """The same, each as soon as it is there."""
        return self.stream(STRENGTH, restaurants, ask)

    def stream(self, kind: Kind[I, R, B], restaurants: Iterable[I], ask: Ask = AS_USUAL) -> Stream[I, R]:
        """Open a request of any kind; it is sent when its first answer is asked for. Raises TryLater, ValueError."""
        question = Question(kind, tuple(restaurants), ask, self._limits)
        self._admit(len(question.restaurants))
        return Stream(question, self._pending, self._outbox, self._silence)

    def _admit(self, restaurants: int) -> None:
        if restaurants > self._limits.max_pending:
            raise ValueError(f"{restaurants} restaurants in one request; at most {self._limits.max_pending}")
        if not self.ready:
            raise TryLater("no broker can be used at the moment", RETRY_SECONDS)
        if not self._pending.has_room(restaurants):
            raise TryLater(f"{self._pending.restaurants} restaurants are waited for already", 1.0)
        if restaurants and (seconds := self._silence.wait(asyncio.get_running_loop().time())):
            raise TryLater("nobody answers requests at the moment: is a consumer running?", seconds)

    async def _take(self, records: Sequence[Received]) -> None:
        self._silence.hear(asyncio.get_running_loop().time())
        turns = Turns()
        for record in records:
            await turns.next()
            if not self._pending.wants(record.key):
                continue
            try:
                self._pending.take(decode(AnalysisReply, record.value))
            except Undecodable:
                self._pending.dropped.unreadable += 1
