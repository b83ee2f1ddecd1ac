"""The form of summaries, measured: what they cite, which aspects they mention, how long they are. Pure.

Whether a claim is true is not measured here.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from consumer.analysis.answers import SummaryAnswer
from consumer.analysis.aspects import lexicon
from consumer.analysis.task import AspectName
from consumer.analysis.text import normal, sentences

SPOKEN_OF = 2
"""Reviews of a task that must speak of an aspect for its summary to be expected to."""


@dataclass(frozen=True, slots=True)
class Summarised:
    """One summary and the reviews it was made from."""

    reviews: Sequence[str]
    answer: SummaryAnswer


class SummaryFigures(BaseModel):
    """What was measured; None where there is nothing to measure it on."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    tasks: int
    valid: int
    """Answers that could be read; the other figures are of these."""
    claims: int
    cited: float | None
    """Fraction of the claims that cite at least one review that is there; the others are dropped."""
    aspects: int
    covered: float | None
    """Fraction of the aspects that enough reviews of a task speak of which a kept claim of its summary is about."""
    overall_characters: float | None
    """Mean length of the overall summary."""
    claim_characters: float | None
    """Mean length of a kept claim."""
    claims_per_summary: float | None
    """Mean number of kept claims."""


def summary_figures(made: Sequence[Summarised], tasks: int) -> SummaryFigures:
    """The figures of the valid answers to so many tasks."""
    answers = [one.answer for one in made]
    kept = [claim for answer in answers for claim in (*answer.positive, *answer.negative)]
    claims = len(kept) + sum(answer.uncited for answer in answers)
    expected = [spoken_of(one.reviews) for one in made]
    covered = sum(len(names & _mentioned(one.answer)) for names, one in zip(expected, made, strict=True))
    aspects = sum(map(len, expected))
    return SummaryFigures(
        tasks=tasks,
        valid=len(made),
        claims=claims,
        cited=_share(len(kept), claims),
        aspects=aspects,
        covered=_share(covered, aspects),
        overall_characters=_share(sum(len(answer.overall) for answer in answers), len(made)),
        claim_characters=_share(sum(len(claim.text) for claim in kept), len(kept)),
        claims_per_summary=_share(len(kept), len(made)),
    )


def spoken_of(reviews: Iterable[str]) -> frozenset[AspectName]:
    """The aspects that at least SPOKEN_OF reviews speak of, by the words of `aspects.txt`."""
    counts = Counter(name for review in reviews for name in _aspects(review))
    return frozenset(name for name, count in counts.items() if count >= SPOKEN_OF)


def _aspects(review: str) -> set[AspectName]:
    return {name for sentence in sentences(review) for name in lexicon().aspects(normal(sentence))}


def _mentioned(answer: SummaryAnswer) -> set[AspectName]:
    return {claim.aspect for claim in (*answer.positive, *answer.negative)}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
