"""Labels against what a review's author said otherwise."""

import pytest

from consumer.analysis.agreement import agreement
from schemas.base import Sentiment
from schemas.events import ReviewEvent

POS, NEG, NEUTRAL = Sentiment.POSITIVE, Sentiment.NEGATIVE, Sentiment.NEUTRAL


@pytest.mark.parametrize(
    ("label", "recommended", "rating", "expected"),
    [
        (POS, True, 5, {"is_recommended": "agree", "rating": "agree"}),
        (NEG, True, 1.5, {"is_recommended": "disagree", "rating": "agree"}),
        (POS, None, 2, {"rating": "disagree"}),
        (POS, False, 3, {"is_recommended": "disagree", "rating": "neutral"}),
        (NEUTRAL, True, 3, {"is_recommended": "neutral", "rating": "neutral"}),
        (NEG, None, None, {}),
    ],
)
def test_each_field_that_is_there_is_compared(
    label: Sentiment,
    recommended: bool | None,  # noqa: FBT001 - a parameter
    rating: float | None,
    expected: dict[str, str],
) -> None:
    """Who takes no side agrees with nobody and disagrees with nobody."""
    event = ReviewEvent(review_id=1, restaurant_id=1, content="x", is_recommended=recommended, rating=rating)
    assert dict(agreement(label, event)) == expected
