"""What is asked of a model, apart from how a model is asked."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from consumer.values import value

Language = Literal["ko", "en"]
Polarity = Literal["positive", "negative"]


class Kind(StrEnum):
    """The four things asked of a model."""

    SENTIMENT = "sentiment"
    SUMMARY = "summary"
    COMPARISON = "comparison"
    """Stage 1 of strengths: what the other restaurants of a group are praised for."""
    STRENGTH = "strength"
    """Stage 2: what the target is better at."""


class AspectName(StrEnum):
    """What reviews speak of. A closed set: so aspects merge and compare by name, in any language."""

    FOOD = "food"
    SERVICE = "service"
    PRICE = "price"
    ATMOSPHERE = "atmosphere"
    WAITING = "waiting"
    CLEANLINESS = "cleanliness"
    PORTION = "portion"
    LOCATION = "location"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Claim:
    """One sentence that `support` reviews agree on."""

    polarity: Polarity
    aspect: AspectName
    text: str
    support: int


@value
class Task:
    """One question. What it is asked about depends on its kind.

    sentiment: `reviews` holds the one review.
    summary: `reviews` are the new reviews, numbered from 1; `claims` what the last summary said; `leanings`, if
    there are any, what is known of each review beforehand (None: nothing).
    comparison: `claims` of the other restaurants, their supports added up per aspect.
    strength: `claims` of the target, numbered from 1; `background` the comparison summary ("" with no group).
    """

    kind: Kind
    language: Language
    reviews: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()
    background: str = ""
    leanings: tuple[Polarity | None, ...] = ()
    strict: bool = False
    """Asked again, as the last answer was invalid: with a stricter instruction."""
