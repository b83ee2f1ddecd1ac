"""The three analyses that can be asked for, each with its types: pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from schemas.base import WireModel
from schemas.batch import (
    FailedRestaurant,
    FailedTarget,
    SentimentAnalysisBatchResponse,
    SentimentBatchItem,
    SentimentBatchResult,
    StrengthBatchItem,
    StrengthBatchResponse,
    StrengthBatchResult,
    SummaryBatchItem,
    SummaryBatchResponse,
    SummaryBatchResult,
)
from schemas.events import AnalysisKind
from schemas.findings import AnalysisError

Item = SentimentBatchItem | SummaryBatchItem | StrengthBatchItem
Result = SentimentBatchResult | SummaryBatchResult | StrengthBatchResult
Failed = FailedRestaurant | FailedTarget

I = TypeVar("I", bound=Item)  # noqa: E741 - the item of a request
R = TypeVar("R", bound=WireModel)
B = TypeVar("B", bound=WireModel)


@dataclass(frozen=True, slots=True)
class Kind(Generic[I, R, B]):
    """One analysis: I is a restaurant of the request, R a place of the results, B the whole response."""

    name: AnalysisKind
    result: type[Result]
    restaurant_of: Callable[[I | R], str | int]
    """The id that a request's item, or a place of the results, is about."""
    failed: Callable[[str | int, AnalysisError], R]
    response: Callable[[tuple[R, ...], int], B]
    """(results, how many of them failed) → the response."""
    reviews_of: Callable[[I], int]
    """How many reviews an item holds."""


SentimentPlace = SentimentBatchResult | FailedRestaurant
SummaryPlace = SummaryBatchResult | FailedRestaurant
StrengthPlace = StrengthBatchResult | FailedTarget

SENTIMENT: Kind[SentimentBatchItem, SentimentPlace, SentimentAnalysisBatchResponse] = Kind(
    name="sentiment",
    result=SentimentBatchResult,
    restaurant_of=lambda about: about.restaurant_id,
    failed=lambda restaurant, error: FailedRestaurant(restaurant_id=restaurant, error=error),
    response=lambda results, failed: SentimentAnalysisBatchResponse(results=results, failed_count=failed),
    reviews_of=lambda item: len(item.reviews),
)
SUMMARY: Kind[SummaryBatchItem, SummaryPlace, SummaryBatchResponse] = Kind(
    name="summary",
    result=SummaryBatchResult,
    restaurant_of=lambda about: about.restaurant_id,
    failed=lambda restaurant, error: FailedRestaurant(restaurant_id=restaurant, error=error),
    response=lambda results, failed: SummaryBatchResponse(results=results, failed_count=failed),
    reviews_of=lambda item: len(item.positive_reviews) + len(item.negative_reviews),
)
STRENGTH: Kind[StrengthBatchItem, StrengthPlace, StrengthBatchResponse] = Kind(
    name="strength",
    result=StrengthBatchResult,
    restaurant_of=lambda about: about.target_restaurant_id,
    failed=lambda restaurant, error: FailedTarget(target_restaurant_id=restaurant, error=error),
    response=lambda results, failed: StrengthBatchResponse(results=results, failed_count=failed),
    reviews_of=lambda item: len(item.target_reviews) + len(item.comparison_reviews),
)
