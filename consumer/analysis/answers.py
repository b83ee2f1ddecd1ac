"""The answers of a model: their JSON schemas, one a kind and every part bounded, and their one strict parser.

Nothing is repaired by guess. Of the texts only line ends and characters that nobody sees are taken out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError

from consumer.analysis.task import AspectName, Kind
from consumer.analysis.text import tidy
from consumer.errors import RetryLater
from schemas import codec

MAX_REVIEWS = 16
"""Reviews of one summary task."""
MAX_ASPECTS = 6
"""Claims of one polarity in a summary's answer."""
MAX_CLAIM = 80
"""Characters of a claim."""
MAX_PARAGRAPH = 300
"""Characters of an overall, comparison or strength summary."""
MAX_STRENGTHS = 5
"""Strengths in an answer, and in a result."""
MAX_CLAIMS = len(AspectName)
"""Claims of a target restaurant in a strength task: one an aspect."""


class InvalidAnswer(RetryLater):
    """The answer is off its schema: worth one more try. The message says where and why, and quotes nothing."""

    reason = "invalid_answer"


@dataclass(frozen=True, slots=True)
class CitedClaim:
    """One claim of a summary and the reviews it cites: valid numbers from 1, each once, in order; never none."""

    aspect: AspectName
    text: str
    reviews: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SummaryAnswer:
    """What a model says to a summary task."""

    overall: str
    positive: tuple[CitedClaim, ...]
    negative: tuple[CitedClaim, ...]
    uncited: int = 0
    """Claims dropped because none of their numbers is a review's."""


@dataclass(frozen=True, slots=True)
class StrengthLine:
    """One strength: which claim of the target it puts in words."""

    claim: int
    text: str


@dataclass(frozen=True, slots=True)
class StrengthAnswer:
    """What a model says to a strength task."""

    lines: tuple[StrengthLine, ...]
    summary: str
    uncited: int = 0
    """Strengths dropped because their number is no claim's, or another strength's."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_Paragraph = Annotated[StrictStr, Field(min_length=1, max_length=MAX_PARAGRAPH)]
_ClaimText = Annotated[StrictStr, Field(min_length=1, max_length=MAX_CLAIM)]


class _AspectDocument(_Strict):
    aspect: AspectName
    claim: _ClaimText
    reviews: Annotated[tuple[Annotated[StrictInt, Field(ge=1, le=MAX_REVIEWS)], ...], Field(max_length=MAX_REVIEWS)]


_Aspects = Annotated[tuple[_AspectDocument, ...], Field(max_length=MAX_ASPECTS)]


class _SummaryDocument(_Strict):
    overall_summary: _Paragraph
    positive_aspects: _Aspects
    negative_aspects: _Aspects


class _ComparisonDocument(_Strict):
    comparison_summary: _Paragraph


class _StrengthLineDocument(_Strict):
    claim: Annotated[StrictInt, Field(ge=1, le=MAX_CLAIMS)]
    text: _ClaimText


class _StrengthDocument(_Strict):
    strengths: Annotated[tuple[_StrengthLineDocument, ...], Field(max_length=MAX_STRENGTHS)]
    strength_summary: _Paragraph


_D = TypeVar("_D", bound=_Strict)
_DOCUMENTS: dict[Kind, type[_Strict]] = {
    Kind.SUMMARY: _SummaryDocument,
    Kind.COMPARISON: _ComparisonDocument,
    Kind.STRENGTH: _StrengthDocument,
}


@lru_cache
def answer_schema(kind: Kind) -> dict[str, Any]:
    """The JSON Schema of the answers to a kind; KeyError for sentiment, whose answer is a label."""
    schema = _DOCUMENTS[kind].model_json_schema()
    return {key: _untitled(value) for key, value in schema.items() if key != "title"}


@lru_cache
def longest_answer(kind: Kind) -> int:
    """Characters of the longest valid answer, without whitespace and escapes; of a label for sentiment."""
    if kind is Kind.SENTIMENT:
        return len("positive")
    return len(longest_text(kind, "x"))


def longest_text(kind: Kind, words: str) -> str:
    """The longest valid answer, its texts made of these words again and again."""
    return codec.encode_document(_longest(kind, words)).decode()


def parse_summary(text: str | None, reviews: int) -> SummaryAnswer:
    """Read the answer to a summary task of that many reviews; raises InvalidAnswer."""
    document = _read(_SummaryDocument, text)
    positive = [_cited(found, reviews) for found in document.positive_aspects]
    negative = [_cited(found, reviews) for found in document.negative_aspects]
    return SummaryAnswer(
        tidy(document.overall_summary),
        tuple(claim for claim in positive if claim.reviews),
        tuple(claim for claim in negative if claim.reviews),
        uncited=sum(not claim.reviews for claim in (*positive, *negative)),
    )


def parse_comparison(text: str | None) -> str:
    """Read the answer to a comparison task, its summary; raises InvalidAnswer."""
    return tidy(_read(_ComparisonDocument, text).comparison_summary)


def parse_strength(text: str | None, claims: int) -> StrengthAnswer:
    """Read the answer to a strength task of that many claims; raises InvalidAnswer."""
    document = _read(_StrengthDocument, text)
    lines: dict[int, StrengthLine] = {}
    for found in document.strengths:
        if found.claim <= claims:
            lines.setdefault(found.claim, StrengthLine(found.claim, tidy(found.text)))
    return StrengthAnswer(
        tuple(lines.values()), tidy(document.strength_summary), uncited=len(document.strengths) - len(lines)
    )


def _read(model: type[_D], text: str | None) -> _D:
    if text is None:
        raise InvalidAnswer("the engine gave no text")
    try:
        document = model.model_validate(codec.decode_answer(text))
    except codec.Undecodable as error:
        raise InvalidAnswer(str(error)) from None
    except ValidationError as error:
        raise InvalidAnswer(_explain(error)) from None
    if not all(map(tidy, _texts(document))):
        raise InvalidAnswer("a text of the answer is blank")
    return document


def _explain(error: ValidationError) -> str:
    """Say where and what. The name of an unknown field is the model's text, and stays out."""
    found = error.errors(include_url=False, include_context=False, include_input=False)[:5]
    places = [e["loc"][:-1] if e["type"] == "extra_forbidden" else e["loc"] for e in found]
    said = [f"{'.'.join(map(str, at)) or 'answer'}: {e['type']}" for at, e in zip(places, found, strict=True)]
    return "; ".join(said)


def _texts(document: BaseModel) -> Iterable[str]:
    for _, value in document:
        if isinstance(value, str):
            yield value
        elif isinstance(value, tuple):
            for part in value:
                yield from _texts(part) if isinstance(part, BaseModel) else ()


def _cited(found: _AspectDocument, reviews: int) -> CitedClaim:
    return CitedClaim(found.aspect, tidy(found.claim), tuple(sorted({n for n in found.reviews if n <= reviews})))


def _untitled(schema: Any) -> Any:
    """Without the titles that pydantic adds: a grammar has no use for them. No field here is called title."""
    if isinstance(schema, list):
        return [_untitled(part) for part in schema]
    if isinstance(schema, dict):
        return {key: _untitled(value) for key, value in schema.items() if key != "title"}
    return schema


def _longest(kind: Kind, words: str) -> dict[str, object]:
    endless = words * (MAX_PARAGRAPH // len(words) + 1)
    claim, paragraph = endless[:MAX_CLAIM], endless[:MAX_PARAGRAPH]
    if kind is Kind.COMPARISON:
        return {"comparison_summary": paragraph}
    if kind is Kind.STRENGTH:
        return {"strengths": [{"claim": 1, "text": claim}] * MAX_STRENGTHS, "strength_summary": paragraph}
    aspect = {"aspect": max(AspectName, key=len), "claim": claim, "reviews": [MAX_REVIEWS] * MAX_REVIEWS}
    aspects = [aspect] * MAX_ASPECTS
    return {"overall_summary": paragraph, "positive_aspects": aspects, "negative_aspects": aspects}
