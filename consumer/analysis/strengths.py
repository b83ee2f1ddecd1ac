"""Strengths: what a restaurant is praised for more often than the others of its group. The numbers are counted here.

Which praise is a strength, in this order; the first rule that leaves anything decides:
1. a named aspect (not `other`), praised by at least two reviews, and relatively more often than in the group (lift
   above 1, or nobody there praises it); without a group, any such aspect;
2. the same with one review;
3. the one aspect with the highest lift, whatever it is: an honest number is better than silence, and the task then
   tells nothing of the others, so that nobody says it stands out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Protocol

from consumer.analysis.answers import MAX_CLAIMS, MAX_STRENGTHS, StrengthAnswer, StrengthLine
from consumer.analysis.summary import name_of
from consumer.analysis.task import AspectName, Claim, Kind, Language, Task
from schemas.findings import Aspect, Strength

_ENOUGH = 2
"""Reviews from which on praise is more than one guest's taste."""

_NOTHING: dict[Language, str] = {
    "ko": "아직 뚜렷하게 칭찬받는 점이 없습니다.",
    "en": "Nothing is clearly praised yet.",
}


class Praised(Protocol):
    """What is read of a summary."""

    @property
    def positive_aspects(self) -> tuple[Aspect, ...]:
        """What is praised."""

    @property
    def review_count(self) -> int:
        """Reviews behind the summary."""


class Target(Praised, Protocol):
    """The restaurant whose strengths are wanted."""

    @property
    def language(self) -> str:
        """Of its summary, and so of its strengths: `ko` or `en`."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One praised aspect of the target with its numbers."""

    aspect: Aspect
    support_ratio: float
    comparison_ratio: float
    lift: float | None
    """None where nobody else is praised for it."""

    @property
    def rank(self) -> tuple[float, int]:
        """Strongest first when sorted."""
        return (-inf if self.lift is None else -self.lift), -self.aspect.support_count


def measured(target: Praised, others: Sequence[Praised]) -> tuple[Measured, ...]:
    """The target's strengths as counted, strongest first: by lift (nobody else's first), then by support."""
    found = sorted((_measure(aspect, target, others) for aspect in target.positive_aspects), key=lambda m: m.rank)
    rules: tuple[Callable[[Measured], bool], ...] = (
        lambda m: _is_above(m) and m.aspect.support_count >= _ENOUGH,
        _is_above,
    )
    for rule in rules:
        if kept := [one for one in found if rule(one)]:
            return tuple(kept[:MAX_CLAIMS])
    return tuple(found[:1])


def comparison_task(target: Target, others: Sequence[Praised]) -> Task:
    """Ask what the others are praised for: per aspect the supports added up, the words of its most supported claim.

    Without a claim (`task.claims` is empty) there is nothing to ask.
    """
    best: dict[AspectName, Claim] = {}
    totals: dict[AspectName, int] = {}
    for aspect in sorted((a for other in others for a in other.positive_aspects), key=lambda a: -a.support_count):
        name = name_of(aspect)
        best.setdefault(name, Claim("positive", name, aspect.claim, aspect.support_count))
        totals[name] = totals.get(name, 0) + aspect.support_count
    claims = (Claim("positive", name, claim.text, totals[name]) for name, claim in best.items())
    return Task(Kind.COMPARISON, _language(target), claims=tuple(sorted(claims, key=lambda c: -c.support)))


def strength_task(target: Target, others: Sequence[Praised], comparison: str) -> Task:
    """Ask for the target's strengths. Without a claim there is nothing to ask: `nothing_praised` is the answer."""
    found = measured(target, others)
    claims = (Claim("positive", name_of(m.aspect), m.aspect.claim, m.aspect.support_count) for m in found)
    background = comparison if any(map(_is_above, found)) else ""
    return Task(Kind.STRENGTH, _language(target), claims=tuple(claims), background=background)


def nothing_praised(target: Target) -> StrengthAnswer:
    """The answer about a restaurant that is praised for nothing yet."""
    return StrengthAnswer((), _NOTHING[_language(target)])


def counted(target: Praised, others: Sequence[Praised], answer: StrengthAnswer) -> tuple[Strength, ...]:
    """The answer's strengths with their numbers, strongest first, at most MAX_STRENGTHS.

    Called with the same summaries as `strength_task`, whose claims the answer's numbers name.
    """
    found = measured(target, others)
    chosen = sorted((line for line in answer.lines if line.claim <= len(found)), key=lambda line: line.claim)
    return tuple(_strength(found[line.claim - 1], line) for line in chosen[:MAX_STRENGTHS])


def _language(target: Target) -> Language:
    return "en" if target.language == "en" else "ko"


def _measure(aspect: Aspect, target: Praised, others: Sequence[Praised]) -> Measured:
    own = _ratio(aspect.support_count, target.review_count)
    same = (a.support_count for other in others for a in other.positive_aspects if a.aspect == aspect.aspect)
    theirs = _ratio(sum(same), sum(other.review_count for other in others))
    return Measured(aspect, own, theirs, own / theirs if theirs else None)


def _ratio(count: int, total: int) -> float:
    """A fraction; at most 1 also while a summary lags behind the counts."""
    return min(1.0, count / total) if total else 0.0


def _is_above(one: Measured) -> bool:
    return one.aspect.aspect != AspectName.OTHER and (one.lift is None or one.lift > 1)


def _strength(one: Measured, line: StrengthLine) -> Strength:
    return Strength(
        aspect=one.aspect.aspect,
        claim=line.text,
        support_count=one.aspect.support_count,
        support_ratio=one.support_ratio,
        comparison_ratio=one.comparison_ratio,
        lift=one.lift,
        evidence=one.aspect.evidence,
    )
