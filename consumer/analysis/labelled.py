"""Reviews whose sentiment is known: what a line of a labelled file holds, and which label it means. Pure, no I/O."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, TypeVar

from pydantic import Field, StrictBool, StrictStr, field_validator

from schemas.base import Identifier, Sentiment, WireModel, id_text
from schemas.codec import Undecodable, decode
from schemas.lines import BadLine, Format, JsonLine, json_lines

NEGATIVE_UP_TO, POSITIVE_FROM = 2, 4
"""Ratings, of 1 to 5; between them neutral."""


@dataclass(frozen=True, slots=True)
class Review:
    """One review of the file. `restaurant` groups reviews for summaries; None where the line names none."""

    content: str
    restaurant: str | None


@dataclass(frozen=True, slots=True)
class LabelledReview(Review):
    """One review with its true label."""

    label: Sentiment


class _Line(WireModel):
    content: StrictStr
    restaurant_id: Identifier | None = None

    @field_validator("content")
    @classmethod
    def _not_blank(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("a text that is not blank is expected")
        return value


L = TypeVar("L", bound=_Line)


class _LabelledLine(_Line):
    label: Sentiment | None = None
    is_recommended: StrictBool | None = None
    rating: Annotated[float | None, Field(ge=1, le=5, strict=True)] = None


def read_labelled(lines: Iterable[bytes], form: Format) -> Iterator[LabelledReview | BadLine]:
    """Read reviews and their labels, in order; a bad line is named with what is allowed.

    The label is the first of `label`, `is_recommended` and `rating` (up to 2 negative, from 4 positive) that is there.
    """
    return map(_labelled, json_lines(lines, form, ("content",)))


def read_reviews(lines: Iterable[bytes], form: Format) -> Iterator[Review | BadLine]:
    """Read reviews whose labels do not matter."""
    return map(_plain, json_lines(lines, form, ("content",)))


def _labelled(line: JsonLine | BadLine) -> LabelledReview | BadLine:
    found = _decoded(_LabelledLine, line)
    if isinstance(found, BadLine):
        return found
    label = _label(found)
    if label is None:
        return BadLine(
            line.number,
            "label (positive, negative or neutral), is_recommended (true or false) or rating (1 to 5) is needed",
        )
    return LabelledReview(found.content, _restaurant(found), label)


def _plain(line: JsonLine | BadLine) -> Review | BadLine:
    found = _decoded(_Line, line)
    return found if isinstance(found, BadLine) else Review(found.content, _restaurant(found))


def _decoded(model: type[L], line: JsonLine | BadLine) -> L | BadLine:
    if isinstance(line, BadLine):
        return line
    try:
        return decode(model, line.value)
    except Undecodable as error:
        return BadLine(line.number, str(error))


def _label(line: _LabelledLine) -> Sentiment | None:
    if line.label is not None:
        return line.label
    if line.is_recommended is not None:
        return sentiment_of_recommendation(recommended=line.is_recommended)
    return None if line.rating is None else sentiment_of_rating(line.rating)


def sentiment_of_rating(rating: float) -> Sentiment:
    """What a rating of 1 to 5 says."""
    if rating <= NEGATIVE_UP_TO:
        return Sentiment.NEGATIVE
    return Sentiment.POSITIVE if rating >= POSITIVE_FROM else Sentiment.NEUTRAL


def sentiment_of_recommendation(*, recommended: bool) -> Sentiment:
    """What `is_recommended` says."""
    return Sentiment.POSITIVE if recommended else Sentiment.NEGATIVE


def _restaurant(line: _Line) -> str | None:
    return None if line.restaurant_id is None else id_text(line.restaurant_id)
