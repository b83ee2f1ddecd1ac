"""Answers analysis requests by rule, on a real broker: stands for a consumer where others are tested.

Every request is validated as the consumer would. The rule: a review with 좋 or 맛있 is positive, one with 아쉽
negative, any other neutral; aspects and strengths quote the first review there is.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas.base import Sentiment, id_text
from schemas.batch import (
    ReviewSentiment,
    SentimentBatchItem,
    SentimentBatchResult,
    StrengthBatchItem,
    StrengthBatchResult,
    SummaryBatchItem,
    SummaryBatchResult,
)
from schemas.codec import decode, encode
from schemas.events import AnalysisRequest
from schemas.findings import AnalysisError, Aspect, Evidence, Strength
from schemas.headers import EventType, cloud_event
from schemas.results import AnalysisReply
from schemas.topics import TopicNames, murmur2_partition

FAILS = "fails"
"""A restaurant of this id gets an error instead of a result."""
MUTE = "mute"
"""A restaurant of this id gets no reply."""


@dataclass
class Responder:
    """One member that answers. `seen` are the requests that came, in order, with their headers."""

    address: str
    topics: TopicNames
    copies: int = 1
    """How often each reply is written."""
    order: Callable[[list[Any]], list[Any]] = lambda records: records
    """In which order the requests of one poll are answered."""
    seen: list[tuple[AnalysisRequest, dict[str, bytes]]] = field(default_factory=list)

    @asynccontextmanager
    async def answering(self) -> AsyncIterator["Responder"]:
        """Answer while inside, every request that is written from now on."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.address, enable_auto_commit=False)
        producer = AIOKafkaProducer(bootstrap_servers=self.address)
        async with consumer, producer:
            count = len(await producer.partitions_for(self.topics.requests))
            places = [TopicPartition(self.topics.requests, number) for number in range(count)]
            consumer.assign(places)
            await consumer.seek_to_end(*places)
            task = asyncio.create_task(self._answer(consumer, producer))
            try:
                yield self
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _answer(self, consumer: Any, producer: Any) -> None:
        count = len(await producer.partitions_for(self.topics.replies))
        while True:
            polled = await consumer.getmany(timeout_ms=200)
            for record in self.order([record for records in polled.values() for record in records]):
                request = decode(AnalysisRequest, record.value)
                assert record.key == f"{request.request_id}/{request.index}".encode()
                self.seen.append((request, dict(record.headers)))
                if (reply := reply_to(request)) is not None:
                    await self._write(producer, record, reply, murmur2_partition(request.request_id.encode(), count))

    async def _write(self, producer: Any, record: Any, reply: AnalysisReply, partition: int) -> None:
        ce_id = f"{record.topic}/{record.partition}/{record.offset}/reply"
        headers = list(cloud_event(ce_id, EventType.REPLY, "responder", datetime.now(UTC)))
        for _ in range(self.copies):
            await producer.send(self.topics.replies, encode(reply), record.key, partition=partition, headers=headers)


def reply_to(request: AnalysisRequest) -> AnalysisReply | None:
    """The reply to a request; None to one that is to go unanswered."""
    item = request.restaurant
    restaurant = item.target_restaurant_id if isinstance(item, StrengthBatchItem) else item.restaurant_id
    if id_text(restaurant) == MUTE:
        return None
    failed = id_text(restaurant) == FAILS
    return AnalysisReply(
        request_id=request.request_id,
        index=request.index,
        count=request.count,
        kind=request.kind,
        result=None if failed else _result(item),
        error=AnalysisError(code="engine_error", message="told to fail") if failed else None,
    )


def _result(
    item: SentimentBatchItem | SummaryBatchItem | StrengthBatchItem,
) -> SentimentBatchResult | SummaryBatchResult | StrengthBatchResult:
    if isinstance(item, SentimentBatchItem):
        return _sentiment(item)
    if isinstance(item, SummaryBatchItem):
        return SummaryBatchResult(
            restaurant_id=item.restaurant_id,
            overall_summary=f"{len(item.positive_reviews)} / {len(item.negative_reviews)}",
            positive_aspects=tuple(Aspect(aspect="food", **claim) for claim in _claims(item.positive_reviews)),
            negative_aspects=tuple(Aspect(aspect="service", **claim) for claim in _claims(item.negative_reviews)),
            positive_count=len(item.positive_reviews),
            negative_count=len(item.negative_reviews),
            review_count=len(item.positive_reviews) + len(item.negative_reviews),
        )
    found = (
        {**claim, "support_ratio": 1.0, "comparison_ratio": 0.0, "lift": None} for claim in _claims(item.target_reviews)
    )
    return StrengthBatchResult(
        target_restaurant_id=item.target_restaurant_id,
        strengths=tuple(Strength(aspect="food", **claim) for claim in found),
        strength_summary="food",
        comparison_summary="none",
        target_count=len(item.target_reviews),
        comparison_count=len(item.comparison_reviews),
    )


def _sentiment(item: SentimentBatchItem) -> SentimentBatchResult:
    labels = [_label(review.content) for review in item.reviews]
    counts = [labels.count(label) for label in (Sentiment.POSITIVE, Sentiment.NEGATIVE, Sentiment.NEUTRAL)]
    percents = [100 * count // max(1, len(labels)) for count in counts]
    percents[0] += 100 - sum(percents) if labels else 0
    return SentimentBatchResult(
        restaurant_id=item.restaurant_id,
        positive_count=counts[0],
        negative_count=counts[1],
        neutral_count=counts[2],
        total_count=len(labels),
        positive_ratio=percents[0],
        negative_ratio=percents[1],
        neutral_ratio=percents[2],
        reviews=tuple(
            ReviewSentiment(id=review.id, sentiment=label, score=0.9)
            for review, label in zip(item.reviews, labels, strict=True)
        ),
    )


def _label(text: str) -> Sentiment:
    if "좋" in text or "맛있" in text:
        return Sentiment.POSITIVE
    return Sentiment.NEGATIVE if "아쉽" in text else Sentiment.NEUTRAL


def _claims(reviews: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {"claim": "said so", "support_count": 1, "evidence": (Evidence(review_id=review.id, quote=review.content),)}
        for review in reviews[:1]
    ]
