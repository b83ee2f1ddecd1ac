"""The request client for callers without an event loop: the same calls, each waiting for its answer.

    with BlockingAnalysisClient(connection) as client:
        response = client.sentiment(restaurants)
        for answer in client.stream_summary(restaurants):
            print(answer.index, answer.result)

One thread with an event loop of its own does the work. The client may be shared by threads.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from producer.asking import AS_USUAL, DEFAULT_LIMITS, Ask, Limits
from producer.client import AnalysisClient
from producer.gathering import Answer
from producer.kinds import SENTIMENT, STRENGTH, SUMMARY, B, I, Kind, R, SentimentPlace, StrengthPlace, SummaryPlace
from producer.streams import Stream
from schemas.batch import (
    SentimentAnalysisBatchResponse,
    SentimentBatchItem,
    StrengthBatchItem,
    StrengthBatchResponse,
    SummaryBatchItem,
    SummaryBatchResponse,
)
from schemas.connection import KafkaConnection
from schemas.topics import TopicNames

T = TypeVar("T")


class BlockingAnalysisClient:
    """As AnalysisClient, held by `with`; raises the same errors. A KeyboardInterrupt ends the wait."""

    def __init__(
        self, connection: KafkaConnection, topics: TopicNames | None = None, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self._connection, self._topics, self._limits = connection, topics, limits
        self._started: Future[tuple[AnalysisClient, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._ended: Future[None] = Future()

    def __enter__(self) -> Self:
        """Connect. Raises CannotGoOn."""
        threading.Thread(target=self._run, name="analysis-client", daemon=True).start()
        self._client, self._loop, self._leave = self._started.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect, in bounded time; waits of other threads are cancelled."""
        self._loop.call_soon_threadsafe(self._leave.set)
        self._ended.result()

    def sentiment(
        self, restaurants: Iterable[SentimentBatchItem], ask: Ask = AS_USUAL
    ) -> SentimentAnalysisBatchResponse:
        """Each restaurant's counts, and each review's label, in the given order."""
        return self._gathered(SENTIMENT, restaurants, ask)

    def summary(self, restaurants: Iterable[SummaryBatchItem], ask: Ask = AS_USUAL) -> SummaryBatchResponse:
        """Each restaurant's summary, in the given order."""
        return self._gathered(SUMMARY, restaurants, ask)

    def strengths(self, restaurants: Iterable[StrengthBatchItem], ask: Ask = AS_USUAL) -> StrengthBatchResponse:
        """Each restaurant's strengths against its comparison, in the given order."""
        return self._gathered(STRENGTH, restaurants, ask)

    def stream_sentiment(
        self, restaurants: Iterable[SentimentBatchItem], ask: Ask = AS_USUAL
    ) -> Iterator[Answer[SentimentPlace]]:
        """The same, each as soon as it is there."""
        return self._streamed(SENTIMENT, restaurants, ask)

    def stream_summary(
        self, restaurants: Iterable[SummaryBatchItem], ask: Ask = AS_USUAL
    ) -> Iterator[Answer[SummaryPlace]]:
        """The same, each as soon as it is there."""
        return self._streamed(SUMMARY, restaurants, ask)

    def stream_strengths(
        self, restaurants: Iterable[StrengthBatchItem], ask: Ask = AS_USUAL
    ) -> Iterator[Answer[StrengthPlace]]:
        """The same, each as soon as it is there."""
        return self._streamed(STRENGTH, restaurants, ask)

    def _gathered(self, kind: Kind[I, R, B], restaurants: Iterable[I], ask: Ask) -> B:
        async def gather(items: tuple[I, ...]) -> B:
            return await self._client.stream(kind, items, ask).gathered(kind.response)

        return self._wait(gather(tuple(restaurants)))

    def _streamed(self, kind: Kind[I, R, B], restaurants: Iterable[I], ask: Ask) -> Iterator[Answer[R]]:
        async def open_stream(items: tuple[I, ...]) -> Stream[I, R]:
            return self._client.stream(kind, items, ask)

        async def following(stream: Stream[I, R]) -> Answer[R] | None:
            return await anext(stream, None)

        stream = self._wait(open_stream(tuple(restaurants)))
        try:
            while (answer := self._wait(following(stream))) is not None:
                yield answer
        finally:
            with suppress(RuntimeError):  # the client has ended, and the stream with it
                self._loop.call_soon_threadsafe(stream.close)

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _run(self) -> None:
        try:
            asyncio.run(self._hold())
        except BaseException as error:  # noqa: BLE001 - raised where the caller waits
            (self._ended if self._started.done() else self._started).set_exception(error)
        else:
            self._ended.set_result(None)

    async def _hold(self) -> None:
        leave = asyncio.Event()
        async with AnalysisClient(self._connection, self._topics, self._limits) as client:
            self._started.set_result((client, asyncio.get_running_loop(), leave))
            await leave.wait()
