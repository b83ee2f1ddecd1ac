"""What every model of the wire has in common."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr


class WireModel(BaseModel):
    """Frozen, and tolerant of unknown fields: a newer writer never breaks an older reader."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null")


Identifier = Annotated[
    Annotated[StrictStr, Field(min_length=1, max_length=256)] | StrictInt,
    Field(description="Text of 1 to 256 characters or an integer; compared and keyed as text: 1 and '1' are the same."),
]
"""An id as the upstream sent it: given back in the type received, compared by `id_text`."""

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Percent = Annotated[int, Field(ge=0, le=100)]
Count = Annotated[int, Field(ge=0)]


class Sentiment(StrEnum):
    """The three labels of a review."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    NEUTRAL = "neutral"


class Priority(StrEnum):
    """How soon a review is wanted; low never starves."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class SentimentCounts(WireModel):
    """What totals and batch results count alike; whole percents by largest remainder."""

    restaurant_id: Identifier
    positive_count: Count
    negative_count: Count
    neutral_count: Count
    total_count: Count
    positive_ratio: Percent
    negative_ratio: Percent
    neutral_ratio: Percent


def id_text(identifier: str | int) -> str:
    """The form in which an id is compared and used as a key: 1 and "1" are the same."""
    return str(identifier)
