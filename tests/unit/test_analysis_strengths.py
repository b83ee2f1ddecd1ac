"""Strengths: which praise is one, and its numbers."""

from dataclasses import dataclass

import pytest

from consumer.analysis.answers import StrengthAnswer, StrengthLine
from consumer.analysis.strengths import comparison_task, counted, measured, nothing_praised, strength_task
from consumer.analysis.task import AspectName
from schemas.findings import Aspect


@dataclass(frozen=True)
class Summary:
    """As much of a summary as strengths read."""

    positive_aspects: tuple[Aspect, ...]
    review_count: int
    language: str = "ko"


def praise(**supports: int) -> tuple[Aspect, ...]:
    """Aspects with these supports."""
    return tuple(Aspect(aspect=name, claim=f"{name}.", support_count=count) for name, count in supports.items())


def said(*claims: int) -> StrengthAnswer:
    """An answer that names these claims."""
    return StrengthAnswer(tuple(StrengthLine(n, f"강점 {n}") for n in claims), "요약")


def test_numbers_are_counted_against_all_others_together() -> None:
    """12 of 20 against (2 + 4) of (10 + 20): 0.6 / 0.2."""
    target = Summary(praise(service=12), 20)
    others = (Summary(praise(service=2), 10), Summary(praise(service=4, food=9), 20))
    (found,) = counted(target, others, said(1))
    assert (found.support_ratio, found.comparison_ratio) == (0.6, 0.2)
    assert found.lift == pytest.approx(3.0)
    assert found.claim == "강점 1"


def test_nobody_elses_praise_comes_first_then_the_higher_lift() -> None:
    """Then the greater support."""
    target = Summary(praise(food=9, service=4, location=2, price=3), 10)
    others = (Summary(praise(food=3, service=1), 10),)
    assert [m.aspect.aspect for m in measured(target, others)] == ["price", "location", "service", "food"]


def test_what_the_others_are_praised_for_as_often_is_no_strength() -> None:
    """Nor is what one guest said, while there is anything better."""
    target = Summary(praise(food=5, portion=1, service=3), 10)
    others = (Summary(praise(food=5, service=1), 10),)
    assert [m.aspect.aspect for m in measured(target, others)] == ["service"]


def test_one_guests_praise_is_better_than_none() -> None:
    """The second rule."""
    assert [m.aspect.aspect for m in measured(Summary(praise(portion=1), 10), ())] == ["portion"]


def test_the_best_of_a_restaurant_that_is_better_at_nothing_keeps_its_number() -> None:
    """And the task tells nothing of the others, so that nobody says it stands out."""
    target, others = Summary(praise(food=2, service=1), 10), (Summary(praise(food=4, service=5), 10),)
    task = strength_task(target, others, "다른 곳은 맛있다.")
    assert [claim.aspect for claim in task.claims] == [AspectName.FOOD]
    assert task.background == ""
    (found,) = counted(target, others, said(1))
    assert found.lift == 0.5


def test_other_is_nobodys_strength_while_there_is_another() -> None:
    """It is what is left over, and compares with nothing."""
    assert [m.aspect.aspect for m in measured(Summary(praise(other=9, food=2), 10), ())] == ["food"]


def test_without_a_group_all_praise_counts() -> None:
    """Comparison ratio 0, no lift, most supported first."""
    found = counted(Summary(praise(food=6, service=3), 10), (), said(2, 1))
    assert [(s.aspect, s.comparison_ratio, s.lift) for s in found] == [("food", 0.0, None), ("service", 0.0, None)]


def test_ratios_stay_fractions_while_counts_lag() -> None:
    """A summary may have read reviews that are gone from the totals."""
    found = counted(Summary(praise(food=6), 4), (Summary(praise(food=3), 0),), said(1))
    assert (found[0].support_ratio, found[0].comparison_ratio) == (1.0, 0.0)


def test_at_most_five_and_none_that_was_not_asked_about() -> None:
    """In the order of their strength, not of the answer."""
    names = {"food": 9, "service": 8, "price": 7, "atmosphere": 6, "waiting": 5, "cleanliness": 4}
    found = counted(Summary(praise(**names), 10), (), said(6, 5, 4, 3, 2, 1, 7))
    assert [s.support_count for s in found] == [9, 8, 7, 6, 5]


def test_the_others_praise_is_added_up_per_aspect() -> None:
    """In the words of the most supported claim."""
    first = Aspect(aspect="food", claim="회가 신선하다.", support_count=3)
    second = Aspect(aspect="food", claim="매운탕이 좋다.", support_count=5)
    others = (Summary((first, *praise(price=7)), 10), Summary((second,), 10))
    task = comparison_task(Summary((), 10), others)
    assert [(c.aspect, c.support, c.text) for c in task.claims] == [
        (AspectName.FOOD, 8, "매운탕이 좋다."),
        (AspectName.PRICE, 7, "price."),
    ]


@pytest.mark.parametrize(("language", "part"), [("ko", "없습니다"), ("en", "Nothing")])
def test_nothing_praised_is_said_in_the_restaurants_language(language: str, part: str) -> None:
    """No model is asked."""
    target = Summary((), 10, language)
    assert strength_task(target, (), "").claims == ()
    assert part in nothing_praised(target).summary
