"""What reviews say, clause by clause: its aspects by the lexicon, its polarity by the sentiment model and by cues.

The model was made for whole reviews. A clause is short, so words that praise or complain of a restaurant whatever
else is said (`cues.txt`) have a say beside it; a clause that neither is sure about says nothing.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import islice
from typing import Protocol

from consumer.analysis.aspects import lexicon, word_lists
from consumer.analysis.task import AspectName, Polarity
from consumer.analysis.text import normal, sentences, tidy

MAX_CLAUSES = 64
"""Clauses read of one review: more than a guest writes, few enough that a hostile text costs no more."""
_CUE = 1.5
"""Log-odds that one cue adds or takes."""
_SURE, _UNSURE, _UNNAMED = 1.0, 2.0, 2.5
"""Log-odds from which on a clause says something: with a cue, by the model alone, and where no aspect is named."""
_MOST = 8.0
"""No single clause outweighs all others."""
_LEANING = 3.0
"""Log-odds that a clause gets where its review is known to be of one polarity: clear words to the contrary stand."""
_TURNED = 0.5
"""What the model's log-odds are worth where a negation turns a cue round: it reads the words, not the turn."""

_TURN = re.compile(
    r"""
      (?<=[가-힣]지만)[,.\ ]+
    | (?<=[는은인한운던쁜큰단짠픈긴]데)[,.\ ]+
    | (?<=[있없좋많적싸하넓좁크작길럽롭덥춥맵짜쁘르]고)[,.\ ]+
    | (?<=[가-힣]),\ | (?<=긴\ 하나)\ | ;\ | \ /\s
    | ,?\ (?=but\ |however\ |although\ |though\ |while\ )
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Where a sentence turns to something else: what stands on either side is judged by itself."""

_NOT_AFTER = re.compile(r".{0,5}(?:지 ?[는도]? ?않|지 ?[는도]? ?못|없|안 나)")
_NOT_BEFORE = re.compile(r"(?: 안 ?| not (?:\w+ )?| no | never |(?<! wouldn) t (?:\w+ )?| without )$")


class Scorer(Protocol):
    """The sentiment model, as far as it is used here."""

    def label_logprobs(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """Natural log-probabilities of `positive`, `negative` and `neutral` for each text."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """One clause of a review that says something good or bad of an aspect."""

    review: int
    """Its number, from 1."""
    aspect: AspectName
    log_odds: float
    """Of positive against negative; never 0."""
    plain: str
    """The clause in normal form."""
    said: str
    """What a reader should see of it: the clause where it ends its sentence, else the whole sentence, on one line."""
    whole: bool
    """What a reader sees is this clause alone."""
    aspects: int
    """Aspects that the clause speaks of."""

    @property
    def polarity(self) -> Polarity:
        """Which side of even it is on."""
        return "positive" if self.log_odds > 0 else "negative"


@dataclass(frozen=True, slots=True)
class _Clause:
    review: int
    text: str
    said: str
    whole: bool


def opinions(reviews: Sequence[str], scorer: Scorer, leanings: Sequence[Polarity | None] = ()) -> list[Opinion]:
    """All opinions of some reviews, in their order. All clauses are scored in one call.

    `leanings`: of each review what is known beforehand, or nothing at all.
    """
    clauses = [
        clause for number, text in enumerate(reviews, 1) for clause in islice(_clauses(number, text), MAX_CLAUSES)
    ]
    scores = scorer.label_logprobs([clause.text for clause in clauses])
    return [
        opinion
        for clause, score in zip(clauses, scores, strict=True)
        for opinion in _opinions(clause, score["positive"] - score["negative"], _known(leanings, clause.review))
    ]


def weigh(clause: str, log_odds: float, leaning: float = 0.0) -> float:
    """The model's log-odds of a clause in normal form together with its cues and what is known of its review.

    0 where they are too little to go by.
    """
    padded = f" {clause} "
    signs = [_sign(padded, match) for match in _cues().finditer(padded)]
    if any(turned for _, turned in signs):
        log_odds = max(-_TURNED, min(_TURNED, log_odds))
    total = max(-_MOST, min(_MOST, log_odds + leaning + _CUE * sum(sign for sign, _ in signs)))
    return total if abs(total) >= (_SURE if signs else _UNSURE) else 0.0


def _clauses(number: int, review: str) -> Iterator[_Clause]:
    for sentence in sentences(review):
        line = tidy(sentence)
        *parts, last = [part for part in _TURN.split(line) if part.strip()] or [line]
        yield from (_Clause(number, part, line, whole=False) for part in parts)
        yield _Clause(number, last, last, whole=True)


def _known(leanings: Sequence[Polarity | None], review: int) -> float:
    leaning = leanings[review - 1] if leanings else None
    return 0.0 if leaning is None else _LEANING if leaning == "positive" else -_LEANING


def _opinions(clause: _Clause, log_odds: float, leaning: float) -> Iterator[Opinion]:
    plain = normal(clause.text)
    weight, aspects = weigh(plain, log_odds, leaning), lexicon().aspects(plain)
    if abs(weight) < (_SURE if aspects else _UNNAMED):
        return
    for aspect in aspects or (AspectName.OTHER,):
        yield Opinion(clause.review, aspect, weight, plain, clause.said, clause.whole, len(aspects))


def _sign(padded: str, match: re.Match[str]) -> tuple[int, bool]:
    """1 for praise, -1 for a complaint, and whether that is what a negation made of it."""
    sign = 1 if match["praise"] else -1
    before = _NOT_BEFORE.search(padded, 0, match.start() + match[0].startswith(" "))
    turned = before is not None or _NOT_AFTER.match(padded, match.end()) is not None
    return (-sign if turned else sign), turned


@lru_cache(maxsize=1)
def _cues() -> re.Pattern[str]:
    """Two groups; the leftmost match wins, then the longest: "불친절" is no "친절"."""
    lists = word_lists(files(__package__).joinpath("cues.txt").read_text("utf-8"))
    either = (
        f"(?P<{name}>{'|'.join(map(re.escape, sorted(words, key=len, reverse=True)))})" for name, words in lists.items()
    )
    return re.compile("|".join(either))
