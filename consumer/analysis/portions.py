"""More new reviews than one prompt holds: read in portions (map), told of in one paragraph (reduce). Pure."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from consumer.analysis.answers import MAX_REVIEWS, CitedClaim, SummaryAnswer
from consumer.analysis.summary import Standing, claims_of
from consumer.analysis.task import Kind, Language, Task


def portions(tokens: Sequence[int], budget: int, most: int) -> list[slice]:
    """Cut reviews, oldest first, into at most `most` prompts; what is left over waits for the next summary.

    Each holds at most MAX_REVIEWS reviews and `budget` of their tokens, but always one review.
    """
    cut: list[slice] = []
    start, held = 0, 0
    for index, weight in enumerate(tokens):
        if index > start and (index - start == MAX_REVIEWS or held + weight > budget):
            cut.append(slice(start, index))
            start, held = index, 0
        held += weight
    if start < len(tokens):
        cut.append(slice(start, len(tokens)))
    return cut[:most]


def joined(answers: Sequence[SummaryAnswer], sizes: Sequence[int]) -> SummaryAnswer:
    """The portions' answers as one about all of their reviews, numbered through. `overall` is the last one's.

    The claim that most reviews stand behind comes first: its words are kept where several portions tell of an aspect.
    """
    starts = list(accumulate(sizes, initial=0))
    positive = [
        _moved(claim, start) for answer, start in zip(answers, starts, strict=False) for claim in answer.positive
    ]
    negative = [
        _moved(claim, start) for answer, start in zip(answers, starts, strict=False) for claim in answer.negative
    ]
    return SummaryAnswer(answers[-1].overall, _most_said_first(positive), _most_said_first(negative))


def reduce_task(standing: Standing, language: Language) -> Task:
    """Ask for the paragraph over aspects that are merged already; of the answer only that is used."""
    claims = (*claims_of("positive", standing.positive), *claims_of("negative", standing.negative))
    return Task(Kind.SUMMARY, language, claims=claims)


def _moved(claim: CitedClaim, start: int) -> CitedClaim:
    return replace(claim, reviews=tuple(number + start for number in claim.reviews))


def _most_said_first(claims: Sequence[CitedClaim]) -> tuple[CitedClaim, ...]:
    return tuple(sorted(claims, key=lambda claim: -len(claim.reviews)))
