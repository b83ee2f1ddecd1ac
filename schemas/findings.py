"""What an analysis finds: aspects with their evidence, strengths with their numbers, or an error."""

from typing import Annotated

from pydantic import Field

from schemas.base import Count, Fraction, Identifier, WireModel

MAX_EVIDENCE = 3


class Evidence(WireModel):
    """A sentence of a review, verbatim."""

    review_id: Identifier | None = None
    quote: str


EvidenceList = Annotated[tuple[Evidence, ...], Field(max_length=MAX_EVIDENCE)]


class Aspect(WireModel):
    """One thing that reviews praise or complain about."""

    aspect: Annotated[
        str,
        Field(description="food, service, price, atmosphere, waiting, cleanliness, portion, location or other."),
    ]
    claim: Annotated[str, Field(description="One sentence.")]
    support_count: Annotated[Count, Field(description="Reviews that support the claim.")]
    evidence: EvidenceList = ()


class Strength(WireModel):
    """One strength of a restaurant, with its numbers counted from the summaries, never asked of the model."""

    aspect: str
    claim: str
    support_count: Count
    support_ratio: Annotated[Fraction, Field(description="Of the restaurant's own reviews.")]
    comparison_ratio: Annotated[Fraction, Field(description="Of the reviews of the others in the group.")]
    lift: Annotated[float | None, Field(ge=0, description="support_ratio / comparison_ratio; null when that is 0.")]
    evidence: EvidenceList = ()


class AnalysisError(WireModel):
    """Why one restaurant of a request has no result."""

    code: str
    message: str
