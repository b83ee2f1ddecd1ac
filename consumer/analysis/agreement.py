"""Whether a label is what the review's author said otherwise: measured, and used for nothing else."""

from collections.abc import Iterator

from consumer.analysis.labelled import sentiment_of_rating, sentiment_of_recommendation
from schemas.base import Sentiment
from schemas.events import ReviewEvent


def agreement(label: Sentiment, event: ReviewEvent) -> Iterator[tuple[str, str]]:
    """Of each field that says something: its name, and `agree`, `disagree`, or `neutral` where one takes no side."""
    if event.is_recommended is not None:
        said = sentiment_of_recommendation(recommended=event.is_recommended)
        yield "is_recommended", _compared(label, said)
    if event.rating is not None:
        yield "rating", _compared(label, sentiment_of_rating(event.rating))


def _compared(label: Sentiment, said: Sentiment) -> str:
    if Sentiment.NEUTRAL in {label, said}:
        return "neutral"
    return "agree" if label is said else "disagree"
