"""Portions of new reviews: nothing lost or read twice, every bound kept, and their answers numbered through."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from consumer.analysis.answers import MAX_REVIEWS, CitedClaim, SummaryAnswer
from consumer.analysis.portions import joined, portions, reduce_task
from consumer.analysis.summary import merge
from consumer.analysis.task import AspectName, Kind
from consumer.stream.state import ReviewState, Supports
from schemas.findings import Aspect

weights = st.lists(st.integers(1, 300), min_size=1, max_size=200)


@given(weights, st.integers(1, 500), st.integers(1, 8))
def test_portions_cover_the_oldest_in_order_within_their_bounds(tokens: list[int], budget: int, most: int) -> None:
    """A review that is too heavy by itself is alone; what is left over is newer than what is read."""
    cut = portions(tokens, budget, most)
    parts = [tokens[part] for part in cut]
    assert [weight for part in parts for weight in part] == tokens[: cut[-1].stop]
    assert 1 <= len(parts) <= most
    assert all(1 <= len(part) <= MAX_REVIEWS for part in parts)
    assert all(sum(part) <= budget or len(part) == 1 for part in parts)
    assert len(parts) == most or cut[-1].stop == len(tokens)


@given(weights, st.integers(1, 500))
def test_no_prompt_is_left_half_empty(tokens: list[int], budget: int) -> None:
    """A portion ends where the next review does not fit."""
    cut = portions(tokens, budget, len(tokens))
    for part, after in pairwise(cut):
        fits = sum(tokens[part]) + tokens[after.start] <= budget
        assert not fits or part.stop - part.start == MAX_REVIEWS


claims = st.builds(
    CitedClaim,
    st.sampled_from([AspectName.FOOD, AspectName.SERVICE]),
    st.sampled_from(["good", "fine"]),
    st.sets(st.integers(1, 3), min_size=1).map(lambda numbers: tuple(sorted(numbers))),
)
answers = st.builds(SummaryAnswer, st.just("text"), st.lists(claims).map(tuple), st.lists(claims).map(tuple))


@given(st.lists(answers, min_size=1, max_size=4))
def test_joined_answers_support_what_each_did(found: list[SummaryAnswer]) -> None:
    """Merged at once or one portion after the other: the same counts, and the same reviews stand behind them."""
    reviews = [ReviewState(n, 1, 0, b"h", text=f"review {n}") for n in range(3 * len(found))]
    whole = joined(found, [3] * len(found))
    at_once = merge((), (), whole, reviews)
    positive: tuple[Aspect, ...] = ()
    negative: tuple[Aspect, ...] = ()
    supports: dict[str, Supports] = {}
    for number, answer in enumerate(found):
        merged = merge(positive, negative, answer, reviews[3 * number : 3 * number + 3])
        positive, negative = merged.positive, merged.negative
        supports |= merged.supports
    assert _counts(at_once.positive) == _counts(positive)
    assert _counts(at_once.negative) == _counts(negative)
    assert {key: set(its) for key, its in at_once.supports.items()} == {key: set(its) for key, its in supports.items()}


def _counts(aspects: tuple[Aspect, ...]) -> dict[str, int]:
    return {aspect.aspect: aspect.support_count for aspect in aspects}


def test_the_words_that_most_reviews_stand_behind_are_kept() -> None:
    """Whatever portion they come from."""
    few = SummaryAnswer("", (CitedClaim(AspectName.FOOD, "few say so", (1,)),), ())
    many = SummaryAnswer("", (CitedClaim(AspectName.FOOD, "many say so", (1, 2)),), ())
    reviews = [ReviewState(n, 1, 0, b"h", text="t") for n in range(4)]
    (aspect,) = merge((), (), joined([few, many], [2, 2]), reviews).positive
    assert (aspect.claim, aspect.support_count) == ("many say so", 3)


def test_the_paragraph_is_asked_over_merged_claims_alone() -> None:
    """No review is read again."""
    answer = SummaryAnswer("", (CitedClaim(AspectName.FOOD, "good", (1,)),), ())
    merged = merge((), (), answer, [ReviewState(1, 1, 0, b"h", text="t")])
    task = reduce_task(merged, "en")
    assert (task.kind, task.reviews, [claim.text for claim in task.claims]) == (Kind.SUMMARY, (), ["good"])
