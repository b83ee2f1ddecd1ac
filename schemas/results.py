"""What goes out: sentiment, totals, summaries, strengths, replies."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.base import Count, Fraction, Identifier, Sentiment, SentimentCounts, WireModel
from schemas.batch import SentimentBatchResult, StrengthBatchResult, SummaryBatchResult
from schemas.events import AnalysisKind, Rfc3339
from schemas.findings import AnalysisError, Aspect, Strength


class Source(WireModel):
    """The record a result was made from."""

    topic: str
    partition: Count
    offset: Count


class Provenance(WireModel):
    """How a result came to be: enough to reproduce it, or to find it again."""

    engine: str
    model: str
    prompt: Annotated[str, Field(description="Name and version of the prompt, such as 'sentiment/1'.")]
    source: Annotated[Source | None, Field(description="The review's record; null for a job's output.")] = None
    cached: bool = False
    truncated: Annotated[bool, Field(description="The review was longer than the model's context or budget.")] = False


Outcome = Literal["analyzed", "duplicate", "superseded", "deleted", "expired"]


class SentimentResult(WireModel):
    """Exactly one per review event that is not a dead letter. Key: `restaurant_id`."""

    review_id: Identifier
    restaurant_id: Identifier
    review_version: int | None = None
    outcome: Annotated[
        Outcome,
        Field(description="'duplicate' and 'superseded' carry the label that stands; 'deleted', 'expired' carry none."),
    ]
    sentiment: Sentiment | None = None
    score: Annotated[
        Fraction | None, Field(description="The label's probability; null where the engine gives none.")
    ] = None
    provenance: Provenance


class SentimentTotals(SentimentCounts):
    """A restaurant's counts. The ratios are whole percents by largest remainder: they sum to 100, or are all 0."""

    updated_at: Rfc3339


class RestaurantSummary(WireModel):
    """A restaurant's rolling summary. Key: `restaurant_id`, by group `["{comparison_group}","{restaurant_id}"]`."""

    restaurant_id: Identifier
    overall_summary: str
    positive_aspects: tuple[Aspect, ...]
    negative_aspects: tuple[Aspect, ...]
    positive_count: Count
    negative_count: Count
    review_count: Count
    version: Annotated[int, Field(ge=1, description="Rises with each new summary of the restaurant.")]
    comparison_group: str | None = None
    language: Annotated[str, Field(description="ISO 639-1 code of the text: 'ko' or 'en'.")]
    provenance: Provenance


class RestaurantStrengths(WireModel):
    """What a restaurant is better at than its group. Key: `["{comparison_group}","{restaurant_id}"]`."""

    restaurant_id: Identifier
    strengths: tuple[Strength, ...]
    strength_summary: str
    comparison_summary: Annotated[str, Field(description="What the others of the group are praised for.")]
    compared_with: Annotated[Count, Field(description="Restaurants it was compared with.")]
    comparison_group: str | None = None
    version: Annotated[int, Field(ge=1, description="The summary's it came from; the highest counts.")]
    provenance: Provenance


class AnalysisReply(WireModel):
    """The answer for one restaurant of a request; the request is answered when `count` replies are in."""

    request_id: str
    index: Count
    count: Annotated[int, Field(ge=1)]
    kind: AnalysisKind
    result: SentimentBatchResult | SummaryBatchResult | StrengthBatchResult | None = None
    error: AnalysisError | None = None
