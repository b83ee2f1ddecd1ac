"""Rolling summaries: the last summary and an answer about new reviews become a new summary, bounded and counted.

Pure. What each review supports is given back, so that the caller can take it out again when the review is edited or
deleted. Called at the commit with the summary that stands then, `merge` takes in what was retracted meanwhile.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from consumer.analysis.answers import CitedClaim, SummaryAnswer
from consumer.analysis.aspects import lexicon
from consumer.analysis.task import AspectName, Claim, Kind, Language, Polarity, Task
from consumer.analysis.text import likeness, normal, pairs, sentences
from schemas.base import id_text
from schemas.findings import MAX_EVIDENCE, Aspect, Evidence

Supports = tuple[tuple[str, str], ...]
"""(polarity, aspect) pairs that one review stands behind."""


class Standing(Protocol):
    """The last summary as it stands."""

    @property
    def positive(self) -> tuple[Aspect, ...]:
        """What is praised."""

    @property
    def negative(self) -> tuple[Aspect, ...]:
        """What is complained about."""


class Read(Protocol):
    """A review as the task held it."""

    @property
    def review_id(self) -> str | int | None:
        """Under which its quotes and supports are kept."""

    @property
    def text(self) -> str | None:
        """Its content."""


@dataclass(frozen=True, slots=True)
class Merged:
    """The aspects of the new summary, each name at most once a polarity, most supported first."""

    positive: tuple[Aspect, ...]
    negative: tuple[Aspect, ...]
    supports: Mapping[str, Supports]
    """By review id as text; reviews that support nothing, or have no id, are left out."""


def summary_task(
    last: Standing | None, reviews: Sequence[str], language: Language, leanings: Sequence[Polarity | None] = ()
) -> Task:
    """Ask for a new summary of the last one and these reviews, at most MAX_REVIEWS, oldest first."""
    claims = (*claims_of("positive", last.positive), *claims_of("negative", last.negative)) if last else ()
    return Task(Kind.SUMMARY, language, tuple(reviews), claims, leanings=tuple(leanings) if any(leanings) else ())


def claims_of(polarity: Polarity, aspects: Iterable[Aspect]) -> tuple[Claim, ...]:
    """The aspects of one polarity as a task holds them."""
    return tuple(Claim(polarity, name_of(found), found.claim, found.support_count) for found in aspects)


def name_of(aspect: Aspect) -> AspectName:
    """The aspect's name; one that only a newer writer knows is `other`."""
    return AspectName(aspect.aspect) if aspect.aspect in set(AspectName) else AspectName.OTHER


def merge(
    positive: Iterable[Aspect], negative: Iterable[Aspect], answer: SummaryAnswer, reviews: Sequence[Read | None]
) -> Merged:
    """Merge by aspect: supports add up, the claim is the newer one, evidence newest first, at most MAX_EVIDENCE.

    `reviews` are the task's, in its order; None for one that no longer stands. A review counts once for an aspect,
    however many claims cite it; one without text, or that no longer stands, counts for none.
    """
    praised, blamed = _by_aspect(answer.positive, reviews), _by_aspect(answer.negative, reviews)
    supports = {
        id_text(review.review_id): found
        for n, review in enumerate(reviews, 1)
        if review
        and review.review_id is not None
        and (found := (*_of(n, "positive", praised), *_of(n, "negative", blamed)))
    }
    return Merged(_merged(positive, praised), _merged(negative, blamed), supports)


def quote(claim: str, aspect: AspectName, text: str) -> str | None:
    """The sentence of a review nearest to a claim, verbatim: first those that speak of the aspect, then by likeness.

    Equally near: the first one. None where the review has no sentence.
    """
    wanted = pairs(normal(claim))

    def nearness(sentence: str) -> tuple[bool, float]:
        plain = normal(sentence)
        return aspect in lexicon().aspects(plain), likeness(wanted, pairs(plain))

    return max(sentences(text), key=nearness, default=None)


@dataclass(frozen=True, slots=True)
class _Found:
    """What the new reviews say of one aspect."""

    text: str
    reviews: Mapping[int, Read]
    """By their number, oldest first; never empty."""


def _by_aspect(claims: Iterable[CitedClaim], reviews: Sequence[Read | None]) -> dict[AspectName, _Found]:
    """One finding an aspect: the first claim's text, and all reviews that any of its claims cites."""
    found: dict[AspectName, _Found] = {}
    for claim in claims:
        first = found.get(claim.aspect)
        cited = {n: r for n in claim.reviews if (r := reviews[n - 1]) and (r.text or "").strip()}
        if first:
            cited = dict(sorted({**first.reviews, **cited}.items()))
        if cited:
            found[claim.aspect] = _Found(first.text if first else claim.text, cited)
    return found


def _merged(last: Iterable[Aspect], new: Mapping[AspectName, _Found]) -> tuple[Aspect, ...]:
    merged = {aspect.aspect: aspect for aspect in last}
    for name, found in new.items():
        merged[name] = _joined(merged.get(name), name, found)
    return tuple(sorted(merged.values(), key=lambda aspect: -aspect.support_count))


def _joined(old: Aspect | None, name: AspectName, found: _Found) -> Aspect:
    fresh = islice(_evidence(name, found), MAX_EVIDENCE)
    return Aspect(
        aspect=name.value,
        claim=found.text,
        support_count=len(found.reviews) + (old.support_count if old else 0),
        evidence=(*fresh, *(old.evidence if old else ()))[:MAX_EVIDENCE],
    )


def _evidence(name: AspectName, found: _Found) -> Iterator[Evidence]:
    """A quote of each review, newest first."""
    for review in reversed(list(found.reviews.values())):
        if said := quote(found.text, name, review.text or ""):
            yield Evidence(review_id=review.review_id, quote=said)


def _of(number: int, polarity: Polarity, found: Mapping[AspectName, _Found]) -> Supports:
    return tuple((polarity, name.value) for name, its in found.items() if number in its.reviews)
