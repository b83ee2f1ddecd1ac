"""Summaries and strengths without a language model: the words are the guests' own, the numbers are counted."""

from collections.abc import Iterable, Mapping, Sequence

from consumer.analysis.answers import MAX_ASPECTS, MAX_CLAIM, MAX_STRENGTHS
from consumer.analysis.task import AspectName, Claim, Kind, Polarity, Task
from consumer.analysis.text import likeness, pairs, shorten
from consumer.engines.local import wording
from consumer.engines.local.opinions import Opinion, Scorer, opinions

_LENGTH = 60
"""Characters up to which a sentence makes a good claim."""

Found = Mapping[AspectName, Sequence[Opinion]]


def answer(task: Task, scorer: Scorer) -> dict[str, object]:
    """The answer to any task but sentiment, as a model would give it: by the kind's schema."""
    if task.kind is Kind.SUMMARY:
        return _summary(task, scorer)
    if task.kind is Kind.COMPARISON:
        return {"comparison_summary": wording.comparison(task.language, task.claims)}
    if task.kind is Kind.STRENGTH:
        return _strength(task)
    raise ValueError(f"{task.kind} is answered by a label")


def _summary(task: Task, scorer: Scorer) -> dict[str, object]:
    found = opinions(task.reviews, scorer)
    good, bad = _by_aspect(found, "positive"), _by_aspect(found, "negative")
    return {
        "overall_summary": wording.overall(
            task.language, _counted("positive", task.claims, good), _counted("negative", task.claims, bad)
        ),
        "positive_aspects": _aspects(good),
        "negative_aspects": _aspects(bad),
    }


def _strength(task: Task) -> dict[str, object]:
    lines = [{"claim": n, "text": shorten(claim.text, MAX_CLAIM)} for n, claim in enumerate(task.claims, 1)]
    said = wording.strengths(task.language, task.claims, compared=bool(task.background))
    return {"strengths": lines[:MAX_STRENGTHS], "strength_summary": said}


def _by_aspect(found: Iterable[Opinion], polarity: Polarity) -> Found:
    """Opinions of one polarity by aspect, what most reviews speak of first, at most MAX_ASPECTS."""
    grouped: dict[AspectName, list[Opinion]] = {}
    for opinion in found:
        if opinion.polarity == polarity:
            grouped.setdefault(opinion.aspect, []).append(opinion)
    ordered = sorted(grouped, key=lambda aspect: (aspect is AspectName.OTHER, -len(_reviews(grouped[aspect]))))
    return {aspect: grouped[aspect] for aspect in ordered[:MAX_ASPECTS]}


def _reviews(found: Sequence[Opinion]) -> list[int]:
    return sorted({opinion.review for opinion in found})


def _aspects(found: Found) -> list[dict[str, object]]:
    return [{"aspect": aspect, "claim": _claim(said), "reviews": _reviews(said)} for aspect, said in found.items()]


def _claim(found: Sequence[Opinion]) -> str:
    """The most representative sentence: speaks of nothing else, is like the others, clear, and not long."""
    signs = [pairs(opinion.clause) for opinion in found]

    def worth(place: int) -> tuple[bool, float]:
        opinion = found[place]
        alike = sum(likeness(signs[place], other) for other in signs) / len(signs)
        clear = min(1.0, abs(opinion.log_odds) / 3)
        return opinion.alone and len(opinion.sentence) <= _LENGTH, alike + clear

    best = found[max(range(len(found)), key=worth)]
    return shorten(best.sentence, MAX_CLAIM) or best.clause[:MAX_CLAIM]


def _counted(polarity: Polarity, last: Iterable[Claim], found: Found) -> list[Claim]:
    """What the last summary said and what is new, added up; most supported first, what has no name last."""
    counts = {claim.aspect: claim.support for claim in last if claim.polarity == polarity}
    for aspect, said in found.items():
        counts[aspect] = counts.get(aspect, 0) + len(_reviews(said))
    claims = [Claim(polarity, aspect, "", support) for aspect, support in counts.items()]
    return sorted(claims, key=lambda claim: (claim.aspect is AspectName.OTHER, -claim.support))
