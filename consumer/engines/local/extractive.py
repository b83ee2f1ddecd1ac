"""Summaries and strengths without a language model: the words are the guests' own, the numbers are counted."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from consumer.analysis.answers import MAX_ASPECTS, MAX_CLAIM, MAX_STRENGTHS
from consumer.analysis.aspects import lexicon
from consumer.analysis.task import AspectName, Claim, Kind, Language, Polarity, Task
from consumer.analysis.text import language_of, pairs, shorten
from consumer.engines.local import wording
from consumer.engines.local.opinions import Opinion, Scorer, opinions

_SURE = 1.0
"""Log-odds that a review's opinions of one aspect add up to, if it has one at all."""
_SHARED = 2
"""Reviews from which on praise or complaint of nothing in particular is worth telling, and a dish worth naming."""
_FAIR_CLAIM = (8, 60)
"""Characters of a claim that reads well."""
_CROWDED = 3
"""Aspects from which on a clause is about none of them."""
_CLEAR = 2.0
"""One side of an aspect goes unmentioned where so many times as many reviews say the opposite."""
_DECORATION = re.compile(r"[ㄱ-ㅎㅏ-ㅣ~^;♡♥★☆\u2600-\u27bf\ufe0f\U0001f000-\U0001faff]+")
_HANGING = re.compile(r"(?:[고며]|[는은인한]데|지만|[아어해]서|라서|니까?|다면|\?|…|\.\.)$")
_ENDS_WORDED = re.compile(r"[\w)]$")

Group = tuple[Polarity, AspectName]


def answer(task: Task, scorer: Scorer) -> dict[str, object]:
    """The answer to any task but sentiment, as a model would give it: by the kind's schema."""
    if task.kind is Kind.SUMMARY:
        return _summary(task, _Found.of(opinions(task.reviews, scorer, task.leanings)))
    if task.kind is Kind.COMPARISON:
        return {"comparison_summary": wording.comparison(task.language, _ordered(map(_point, task.claims)))}
    if task.kind is Kind.STRENGTH:
        return _strength(task)
    raise ValueError(f"{task.kind} is answered by a label")


@dataclass(frozen=True, slots=True)
class _Found:
    """Opinions that stand, by what they say, most supported first."""

    groups: Mapping[Group, tuple[Opinion, ...]]

    @classmethod
    def of(cls, said: Sequence[Opinion]) -> "_Found":
        """A review is for or against an aspect, not both: what it says of it in sum."""
        sums: defaultdict[tuple[int, AspectName], float] = defaultdict(float)
        for opinion in said:
            sums[opinion.review, opinion.aspect] += opinion.log_odds
        groups: defaultdict[Group, list[Opinion]] = defaultdict(list)
        for opinion in said:
            total = sums[opinion.review, opinion.aspect]
            if abs(total) >= _SURE and total * opinion.log_odds > 0:
                groups[opinion.polarity, opinion.aspect].append(opinion)
        order = sorted(groups, key=lambda group: (group[1] is AspectName.OTHER, -_support(groups[group])))
        return cls({group: tuple(groups[group]) for group in order})

    def of_polarity(self, polarity: Polarity) -> dict[AspectName, tuple[Opinion, ...]]:
        """The aspects of one polarity; `other` only if shared, or if nothing else was said."""
        found = {name: said for (side, name), said in self.groups.items() if side == polarity}
        if len(found) > 1 and AspectName.OTHER in found and _support(found[AspectName.OTHER]) < _SHARED:
            del found[AspectName.OTHER]
        return found


def _summary(task: Task, found: _Found) -> dict[str, object]:
    praised, blamed = found.of_polarity("positive"), found.of_polarity("negative")
    good, bad = _all_points(task, "positive", praised), _all_points(task, "negative", blamed)
    return {
        "overall_summary": wording.overall(task.language, _worth_telling(good, bad), _worth_telling(bad, good)),
        "positive_aspects": [_claimed(task.language, *item) for item in list(praised.items())[:MAX_ASPECTS]],
        "negative_aspects": [_claimed(task.language, *item) for item in list(blamed.items())[:MAX_ASPECTS]],
    }


def _strength(task: Task) -> dict[str, object]:
    chosen = task.claims[:MAX_STRENGTHS]
    said = next((claim.text for claim in chosen if not _is_plain(task.language, claim)), "")
    points = [_point(claim) for claim in chosen]
    return {
        "strengths": [{"claim": n, "text": shorten(claim.text, MAX_CLAIM)} for n, claim in enumerate(chosen, 1)],
        "strength_summary": wording.strengths(task.language, points, said, compared=bool(task.background)),
    }


def _is_plain(language: Language, claim: Claim) -> bool:
    """Our own words, not a guest's."""
    return claim.text == wording.plain_claim(language, claim.aspect, praise=True)


def _claimed(language: Language, aspect: AspectName, said: Sequence[Opinion]) -> dict[str, object]:
    praise = said[0].polarity == "positive"
    claim = _representative(language, said) or wording.plain_claim(language, aspect, praise=praise)
    return {"aspect": aspect, "claim": claim, "reviews": sorted({opinion.review for opinion in said})}


def _representative(language: Language, said: Sequence[Opinion]) -> str:
    """The opinion nearest to all of them, of those in the reader's language that can be shown; "" if there is none."""
    centre = Counter(pair for opinion in said for pair in pairs(opinion.plain))
    length = sqrt(sum(weight * weight for weight in centre.values())) or 1.0

    def fitness(opinion: Opinion) -> float:
        own = pairs(opinion.plain)
        nearness = sum(centre[pair] for pair in own) / (length * sqrt(len(own) or 1))
        fair = _FAIR_CLAIM[0] <= len(opinion.said) <= _FAIR_CLAIM[1]
        pure = opinion.whole and opinion.aspects <= 1
        hangs = _HANGING.search(opinion.said) is not None
        return nearness + 0.5 * (pure + fair - hangs) + 0.05 * abs(opinion.log_odds)

    shown = [o for o in said if o.aspects < _CROWDED and language_of([o.said]) == language and _tidy_claim(o.said)]
    return _tidy_claim(max(shown, key=fitness).said) if shown else ""


def _tidy_claim(said: str) -> str:
    """A sentence without laughter and emoji, with a full stop, no longer than a claim may be."""
    text = shorten(" ".join(_DECORATION.sub(" ", said).split()), MAX_CLAIM - 1)
    if not pairs(text) or not any(character.isalpha() for character in text):
        return ""
    return f"{text}." if _ENDS_WORDED.search(text) else text


def _all_points(task: Task, polarity: Polarity, new: Mapping[AspectName, Sequence[Opinion]]) -> list[wording.Point]:
    """The last summary's points and the new ones, supports added up."""
    supports = Counter({name: _support(said) for name, said in new.items()})
    for claim in task.claims:
        if claim.polarity == polarity:
            supports[claim.aspect] += claim.support
    return _ordered(wording.Point(name, n, _dishes(new.get(name, ()))) for name, n in supports.items())


def _worth_telling(points: Sequence[wording.Point], opposite: Sequence[wording.Point]) -> list[wording.Point]:
    """What one side of the overall summary names: clear, shared and named aspects, as far as there are any."""
    against = {point.aspect: point.support for point in opposite}
    rules: tuple[Callable[[wording.Point], bool], ...] = (
        lambda point: point.support * _CLEAR > against.get(point.aspect, 0),
        lambda point: point.aspect is not AspectName.OTHER,
        lambda point: point.support >= _SHARED,
    )
    left = list(points)
    for rule in rules:
        left = list(filter(rule, left)) or left
    return left


def _point(claim: Claim) -> wording.Point:
    return wording.Point(claim.aspect, claim.support)


def _ordered(points: Iterable[wording.Point]) -> list[wording.Point]:
    return sorted(points, key=lambda point: (point.aspect is AspectName.OTHER, -point.support))


def _dishes(said: Sequence[Opinion]) -> tuple[str, ...]:
    """At most two dishes that several reviews name."""
    named = {(dish, opinion.review) for opinion in said for dish in lexicon().dishes(opinion.plain)}
    counts = Counter(dish for dish, _ in sorted(named))
    return tuple(dish for dish, n in counts.most_common(2) if n >= _SHARED)


def _support(said: Iterable[Opinion]) -> int:
    return len({opinion.review for opinion in said})
