"""What reviews say, piece by piece: each clause's aspects, by the lexicon, and its polarity, by the sentiment model."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from consumer.analysis.aspects import lexicon
from consumer.analysis.task import AspectName, Polarity
from consumer.analysis.text import normal, sentences, tidy

_CONTRAST = re.compile(
    r"(?<=[가-힣]지만)[,. ]+|(?<=[는은인한운던쁜큰싼단짠픈긴]데)[,. ]+|(?<=[가-힣]나)(?=, )|(?<=긴 하나) "
    r"|, (?=but |though |although |while )|(?<=\w) (?=but |however |although |though )|; ",
    re.IGNORECASE,
)
"""Where a sentence turns: what stands on either side is judged by itself."""


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
    found: list[Opinion] = []
    for clause, score in zip(clauses, scores, strict=True):
        found += _opinions(clause, score)
    return found


def _clauses(number: int, review: str) -> Iterator[_Clause]:
    for sentence in sentences(review):
        line = tidy(sentence)
        parts = [part for part in _CONTRAST.split(line) if part and part.strip()]
        yield from (_Clause(number, line, part, len(parts) == 1) for part in parts)


def _opinions(clause: _Clause, score: Mapping[str, float]) -> Iterator[Opinion]:
    if score["neutral"] >= max(score["positive"], score["negative"]):
        return
    plain = normal(clause.text)
    aspects = lexicon().aspects(plain) or (AspectName.OTHER,)
    alone = clause.whole and len(aspects) == 1
    log_odds = score["positive"] - score["negative"]
    for aspect in aspects:
        yield Opinion(clause.review, aspect, log_odds, clause.sentence, plain, alone)
