"""Merging an answer into the last summary."""

from dataclasses import dataclass

from consumer.analysis.answers import CitedClaim, SummaryAnswer
from consumer.analysis.summary import merge, quote, summary_task
from consumer.analysis.task import AspectName
from schemas.findings import Aspect, Evidence


@dataclass(frozen=True)
class Review:
    """A review as the job read it."""

    review_id: str | int | None
    text: str | None


@dataclass(frozen=True)
class Standing:
    """The last summary."""

    positive: tuple[Aspect, ...]
    negative: tuple[Aspect, ...] = ()


def cited(aspect: AspectName, text: str, *reviews: int) -> CitedClaim:
    """One claim of an answer."""
    return CitedClaim(aspect, text, reviews)


def answer(*positive: CitedClaim, negative: tuple[CitedClaim, ...] = ()) -> SummaryAnswer:
    """An answer with these claims."""
    return SummaryAnswer("전체", positive, negative)


OLD = Aspect(
    aspect="food",
    claim="예전 주장.",
    support_count=7,
    evidence=(Evidence(review_id="a", quote="하나"), Evidence(review_id="b", quote="둘")),
)
REVIEWS = (
    Review("r1", "고기가 맛있어요. 주차는 불편해요."),
    Review(2, "직원이 친절해요. 고기도 맛있네요."),
    Review(None, "맛있었습니다."),
)


def test_supports_add_up_and_the_newer_claim_stands() -> None:
    """Evidence newest first; old evidence is kept as far as there is room."""
    merged = merge((OLD,), (), answer(cited(AspectName.FOOD, "고기가 맛있다.", 1, 2)), REVIEWS)
    (aspect,) = merged.positive
    assert aspect.support_count == 9
    assert aspect.claim == "고기가 맛있다."
    assert [(e.review_id, e.quote) for e in aspect.evidence] == [
        (2, "고기도 맛있네요."),
        ("r1", "고기가 맛있어요."),
        ("a", "하나"),
    ]


def test_what_each_review_supports_is_told_by_its_id() -> None:
    """As text; reviews without an id, or without support, are left out."""
    negative = (cited(AspectName.LOCATION, "주차가 불편하다.", 1),)
    merged = merge((), (), answer(cited(AspectName.FOOD, "맛있다.", 1, 2, 3), negative=negative), REVIEWS)
    assert merged.supports == {
        "r1": (("positive", "food"), ("negative", "location")),
        "2": (("positive", "food"),),
    }


def test_two_claims_of_one_aspect_are_one_aspect_and_a_review_counts_once() -> None:
    """The first one's words."""
    merged = merge(
        (), (), answer(cited(AspectName.FOOD, "첫째.", 1, 2), cited(AspectName.FOOD, "둘째.", 2, 3)), REVIEWS
    )
    (aspect,) = merged.positive
    assert (aspect.claim, aspect.support_count) == ("첫째.", 3)


def test_a_review_that_no_longer_stands_or_is_empty_counts_for_nothing() -> None:
    """A claim that only such reviews support leaves no trace."""
    reviews = (None, Review("e", "  "), Review("n", None), Review("ok", "맛있어요"))
    found = answer(cited(AspectName.FOOD, "맛있다.", 1, 2, 3, 4), cited(AspectName.PRICE, "싸다.", 1, 2, 3))
    merged = merge((OLD,), (), found, reviews)
    assert [(a.aspect, a.support_count) for a in merged.positive] == [("food", 8)]
    assert merged.supports == {"ok": (("positive", "food"),)}


def test_the_most_supported_aspect_comes_first() -> None:
    """Whatever order the model listed them in."""
    merged = merge((OLD,), (), answer(cited(AspectName.SERVICE, "친절하다.", 2)), REVIEWS)
    assert [a.aspect for a in merged.positive] == ["food", "service"]


def test_a_quote_speaks_of_the_aspect_before_it_is_like_the_claim() -> None:
    """Words such as "정말" are in every sentence; what is spoken of is not."""
    text = "정말 정말 친절해요. 국물이 진하네요. 다음에 또 올게요."
    assert quote("김치찌개가 정말 정말 좋아요", AspectName.FOOD, text) == "국물이 진하네요."
    assert quote("직원이 친절하다", AspectName.SERVICE, text) == "정말 정말 친절해요."
    assert quote("무엇이든", AspectName.FOOD, "") is None


def test_the_task_carries_the_last_summary() -> None:
    """With its supports; an aspect that only a newer writer knows is `other`."""
    newer = Aspect(aspect="parking_lot", claim="넓다.", support_count=2)
    task = summary_task(Standing((OLD, newer)), ["새 리뷰"], "ko")
    assert [(c.polarity, c.aspect, c.support) for c in task.claims] == [
        ("positive", AspectName.FOOD, 7),
        ("positive", AspectName.OTHER, 2),
    ]
    assert summary_task(None, ["새 리뷰"], "en").claims == ()
