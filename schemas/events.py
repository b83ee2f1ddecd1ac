"""What comes in: review events and analysis requests."""

import re
from typing import Annotated, Literal

from pydantic import AwareDatetime, BeforeValidator, Field, StrictBool, StrictInt, StrictStr

from schemas.base import Count, Identifier, Priority, WireModel
from schemas.batch import SentimentBatchItem, StrengthBatchItem, SummaryBatchItem

MAX_NAME = 512
_RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}")


def _not_an_epoch(value: object) -> object:
    """Refuse bare numbers: pydantic would take them for seconds or milliseconds, by guess."""
    if isinstance(value, bool | int | float) or (isinstance(value, str) and not _RFC3339.match(value)):
        raise ValueError("an RFC 3339 text is expected, such as 2026-11-23T19:30:00+09:00")
    return value


Rfc3339 = Annotated[
    AwareDatetime, BeforeValidator(_not_an_epoch), Field(description="RFC 3339, with its offset from UTC.")
]
ShortText = Annotated[StrictStr, Field(max_length=MAX_NAME)]


class ReviewEvent(WireModel):
    """One review, its edit, or (with null content) its deletion. Key of the record: `restaurant_id` as text."""

    review_id: Identifier
    restaurant_id: Identifier
    content: Annotated[StrictStr | None, Field(description="The review's text; null when the review was deleted.")]
    version: Annotated[StrictInt | None, Field(ge=0, description="Rises with each edit.")] = None
    created_at: Rfc3339 | None = None
    comparison_group: Annotated[
        ShortText | None,
        Field(
            description="Whom the restaurant is compared with, such as 'seoul-mapo/bbq'; the latest non-null counts."
        ),
    ] = None
    restaurant_name: ShortText | None = None
    is_recommended: StrictBool | None = None
    rating: Annotated[float | None, Field(ge=1, le=5, strict=True)] = None
    priority: Priority = Priority.NORMAL
    deadline: Rfc3339 | None = None


AnalysisKind = Literal["sentiment", "summary", "strength"]


class AnalysisRequest(WireModel):
    """One restaurant of a batch request. Key of the record: `{request_id}/{index}`."""

    request_id: Annotated[StrictStr, Field(min_length=1, max_length=256)]
    index: Annotated[Count, Field(description="Place of this restaurant in the whole request, from 0.")]
    count: Annotated[int, Field(ge=1, description="Restaurants in the whole request.")]
    kind: AnalysisKind
    restaurant: SentimentBatchItem | SummaryBatchItem | StrengthBatchItem
    max_tokens_per_batch: Annotated[int | None, Field(ge=1000, le=8000)] = None
    priority: Priority = Priority.HIGH
    deadline: Rfc3339 | None = None
