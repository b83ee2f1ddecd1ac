"""What reviews say, clause by clause: its aspects by the lexicon, its polarity by the sentiment model and by cues.

The model was made for whole reviews. A clause is short, so words that praise or complain of a restaurant whatever
else is said (`cues.txt`) have a say beside it; a clause that neither is sure about says nothing.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Protocol

from consumer.analysis.aspects import lexicon, word_lists
from consumer.analysis.task import AspectName, Polarity
from consumer.analysis.text import normal, sentences, tidy

_CUE = 1.5
"""Log-odds that one cue adds or takes."""
_SURE = 1.0
"""Log-odds from which on a clause says something; twice that where no aspect is named."""
_MOST = 8.0
"""No single clause outweighs all others."""

_TURN = re.compile(
    r"(?<=[가-힣]지만)[,. ]+|(?<=[는은인한운던쁜큰단짠픈긴]데)[,. ]+|"
    r"(?<=[있없좋많적싸하넓좁크작길럽롭덥춥맵짜쁘르]고)[,. ]+|(?<=[가-힣]), |(?<=긴 하나) |,? (?=but |however |although |though |while )|; ",
    re.IGNORECASE,
)
"""Where a sentence turns to something else: what stands on either side is judged by itself."""

_NOT_AFTER = re.compile(r".{0,5}(?:지 ?[는도]? ?않|지 ?[는도]? ?못|없|안 나)")
_NOT_BEFORE = re.compile(r"(?: 안 ?| not (?:\w+ )?| no | never | n t (?:\w+ )?| t (?:\w+ )?| without )$")


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
    sentence: str
    """The sentence it stands in, on one line."""
    clause: str
    """In normal form."""
    alone: bool
    """The clause is the whole sentence, and speaks of no other aspect."""

    @property
    def polarity(self) -> Polarity:
        """Which side of even it is on."""
        return "positive" if self.log_odds > 0 else "negative"


@dataclass(frozen=True, slots=True)
class _Clause:
    review: int
    sentence: str
    text: str
    whole: bool


def opinions(reviews: Sequence[str], scorer: Scorer) -> list[Opinion]:
    """All opinions of some reviews, in their order. All clauses are scored in one call."""
    clauses = [clause for number, text in enumerate(reviews, 1) for clause in _clauses(number, text)]
    scores = scorer.label_logprobs([clause.text for clause in clauses])
    return [
        opinion
        for clause, score in zip(clauses, scores, strict=True)
        for opinion in _opinions(clause, score["positive"] - score["negative"])
    ]


def cue_score(clause: str) -> int:
    """Cues that praise less cues that complain, in a clause in normal form."""
    padded = f" {clause} "
    return sum(_sign(padded, match) for match in _cues().finditer(padded))


def _clauses(number: int, review: str) -> Iterator[_Clause]:
    for sentence in sentences(review):
        line = tidy(sentence)
        parts = [part for part in _TURN.split(line) if part.strip()]
        yield from (_Clause(number, line, part, len(parts) == 1) for part in parts)


def _opinions(clause: _Clause, log_odds: float) -> Iterator[Opinion]:
    plain = normal(clause.text)
    total = max(-_MOST, min(_MOST, log_odds + _CUE * cue_score(plain)))
    aspects = lexicon().aspects(plain)
    if abs(total) < (_SURE if aspects else 2 * _SURE):
        return
    for aspect in aspects or (AspectName.OTHER,):
        yield Opinion(clause.review, aspect, total, clause.sentence, plain, clause.whole and len(aspects) == 1)


def _sign(padded: str, match: re.Match[str]) -> int:
    sign = 1 if match["praise"] else -1
    turned = _NOT_BEFORE.search(padded, 0, match.start() + match[0].startswith(" ")) is not None
    return -sign if turned or _NOT_AFTER.match(padded, match.end()) else sign


@lru_cache(maxsize=1)
def _cues() -> re.Pattern[str]:
    """Two groups; the leftmost match wins, then the longest: "불친절" is no "친절"."""
    lists = word_lists(files(__package__).joinpath("cues.txt").read_text("utf-8"))
    either = (
        f"(?P<{name}>{'|'.join(map(re.escape, sorted(words, key=len, reverse=True)))})" for name, words in lists.items()
    )
    return re.compile("|".join(either))
