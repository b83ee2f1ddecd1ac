"""Batch requests for many restaurants, over HTTP; one item of them travels in an AnalysisRequest.

A restaurant that failed keeps its place in `results`: a `Failed...` item with its id and the error.
"""

from typing import Annotated

from pydantic import Field, StrictBool, StrictStr

from schemas.base import Count, Identifier, Sentiment, SentimentCounts, WireModel
from schemas.findings import AnalysisError, Aspect, Strength

TokenBudget = Annotated[int | None, Field(ge=1000, le=8000, description="Tokens a micro-batch may hold.")]


class BatchReview(WireModel):
    """A review inside a sentiment request."""

    content: StrictStr
    restaurant_id: Identifier | None = None
    id: Identifier | None = None


class RatedReview(WireModel):
    """A review inside a summary or strength request."""

    content: StrictStr
    is_recommended: StrictBool | None = None
    id: Identifier | None = None


class SentimentBatchItem(WireModel):
    """One restaurant of a sentiment request."""

    restaurant_id: Identifier
    reviews: tuple[BatchReview, ...]


class SummaryBatchItem(WireModel):
    """One restaurant of a summary request."""

    restaurant_id: Identifier
    positive_reviews: tuple[RatedReview, ...]
    negative_reviews: tuple[RatedReview, ...]


class StrengthBatchItem(WireModel):
    """One restaurant of a strength request, with the reviews it is compared with."""

    target_restaurant_id: Identifier
    target_reviews: tuple[RatedReview, ...]
    comparison_reviews: tuple[RatedReview, ...]


class SentimentAnalysisBatchRequest(WireModel):
    """Body of POST /api/v1/sentiment/analyze/batch."""

    restaurants: tuple[SentimentBatchItem, ...]
    max_tokens_per_batch: TokenBudget = None


class SummaryBatchRequest(WireModel):
    """Body of POST /api/v1/llm/summarize/batch."""

    restaurants: tuple[SummaryBatchItem, ...]
    max_tokens_per_batch: TokenBudget = None


class StrengthBatchRequest(WireModel):
    """Body of POST /api/v1/llm/extract/strengths/batch."""

    restaurants: tuple[StrengthBatchItem, ...]
    max_tokens_per_batch: TokenBudget = None


class ReviewSentiment(WireModel):
    """The label of one review of a sentiment request."""

    id: Identifier | None = None
    sentiment: Sentiment
    score: Annotated[float | None, Field(ge=0, le=1)] = None


class SentimentBatchResult(SentimentCounts):
    """One restaurant's sentiment: counts, whole percents that sum to 100 (or are all 0), and each review's label."""

    reviews: tuple[ReviewSentiment, ...]


class SummaryBatchResult(WireModel):
    """One restaurant's summary; the aspects as in RestaurantSummary."""

    restaurant_id: Identifier
    overall_summary: str
    positive_aspects: tuple[Aspect, ...]
    negative_aspects: tuple[Aspect, ...]
    positive_count: Count
    negative_count: Count
    review_count: Count


class StrengthBatchResult(WireModel):
    """One restaurant's strengths, as in RestaurantStrengths; `evidence.review_id` is null where no id was given."""

    target_restaurant_id: Identifier
    strengths: tuple[Strength, ...]
    strength_summary: str
    comparison_summary: str
    target_count: Count
    comparison_count: Count


class FailedRestaurant(WireModel):
    """The place of a restaurant that could not be analysed."""

    restaurant_id: Identifier
    error: AnalysisError


class FailedTarget(WireModel):
    """The place of a target restaurant that could not be analysed."""

    target_restaurant_id: Identifier
    error: AnalysisError


class SentimentAnalysisBatchResponse(WireModel):
    """Results in the request's order; `failed_count` of them carry an error."""

    results: tuple[SentimentBatchResult | FailedRestaurant, ...]
    failed_count: Count


class SummaryBatchResponse(WireModel):
    """Results in the request's order; `failed_count` of them carry an error."""

    results: tuple[SummaryBatchResult | FailedRestaurant, ...]
    failed_count: Count


class StrengthBatchResponse(WireModel):
    """Results in the request's order; `failed_count` of them carry an error."""

    results: tuple[StrengthBatchResult | FailedTarget, ...]
    failed_count: Count
