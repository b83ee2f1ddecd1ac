"""Sentiment of a request: each review's label, and their counts."""

from collections.abc import Sequence
from functools import partial

from consumer.analysis.calibration import Calibration
from consumer.analysis.sentiment import Verdict, read_sentiment
from consumer.analysis.task import Kind, Language, Task
from consumer.analysis.totals import ratios
from consumer.engines.contract import Answer, Prepared
from consumer.pipeline.requests.questions import Question
from schemas.base import Sentiment
from schemas.batch import ReviewSentiment, SentimentBatchItem, SentimentBatchResult

EITHER: Language = "ko"
"""One prompt serves both languages where the answer is a label: which it is need not be found out."""


class Labels:
    """One question a review. A restaurant without reviews has counts of 0."""

    def __init__(self, item: SentimentBatchItem, calibration: Calibration) -> None:
        self._item, self._calibration = item, calibration
        self._verdicts: dict[int, Verdict] = {}

    def start(self) -> Sequence[Question]:
        """All at once."""
        return [
            Question(
                Task(Kind.SENTIMENT, EITHER, reviews=(review.content,)),
                f"sentiment/{number}",
                partial(self._take, number),
            )
            for number, review in enumerate(self._item.reviews)
        ]

    def _take(self, number: int, answer: Answer, _: Prepared) -> Sequence[Question]:
        self._verdicts[number] = read_sentiment(answer, self._calibration)
        return ()

    def result(self) -> SentimentBatchResult:
        """Labels in the reviews' order."""
        verdicts = [self._verdicts[number] for number in range(len(self._item.reviews))]
        labels = [verdict.label for verdict in verdicts]
        counts = tuple(labels.count(label) for label in (Sentiment.POSITIVE, Sentiment.NEGATIVE, Sentiment.NEUTRAL))
        percents = ratios(*counts)
        return SentimentBatchResult(
            restaurant_id=self._item.restaurant_id,
            positive_count=counts[0],
            negative_count=counts[1],
            neutral_count=counts[2],
            total_count=len(labels),
            positive_ratio=percents[0],
            negative_ratio=percents[1],
            neutral_ratio=percents[2],
            reviews=tuple(
                ReviewSentiment(id=review.id, sentiment=verdict.label, score=verdict.score)
                for review, verdict in zip(self._item.reviews, verdicts, strict=True)
            ),
        )
