"""The summary of a request: positive and negative reviews together, as the stream reads them."""

from collections.abc import Sequence

from consumer.errors import DeadLetter
from consumer.pipeline.requests.digest import Digest, Digesting, DigestRules
from consumer.pipeline.requests.questions import Question
from schemas.batch import RatedReview, SummaryBatchItem, SummaryBatchResult

NO_REVIEWS = "no_reviews"
"""Code of a restaurant of which there is nothing to read."""


class Summary:
    """One digest of all reviews; in which list a review is given tells what to expect of it."""

    def __init__(self, item: SummaryBatchItem, rules: DigestRules) -> None:
        self._item, self._rules = item, rules
        self._digest: Digest | None = None

    def start(self) -> Sequence[Question]:
        """Raises DeadLetter where there is no review."""
        reviews = (
            *_said_to_be(self._item.positive_reviews, recommended=True),
            *_said_to_be(self._item.negative_reviews, recommended=False),
        )
        if not reviews:
            raise DeadLetter(NO_REVIEWS, "there is no review to summarise")
        return Digesting("reviews", reviews, self._rules, self._take).start()

    def _take(self, digest: Digest) -> Sequence[Question]:
        self._digest = digest
        return ()

    def result(self) -> SummaryBatchResult:
        """The digest, and the counts of what was given."""
        if (digest := self._digest) is None:
            raise RuntimeError("the summary is not over")
        positive, negative = len(self._item.positive_reviews), len(self._item.negative_reviews)
        return SummaryBatchResult(
            restaurant_id=self._item.restaurant_id,
            overall_summary=digest.overall,
            positive_aspects=digest.positive_aspects,
            negative_aspects=digest.negative_aspects,
            positive_count=positive,
            negative_count=negative,
            review_count=positive + negative,
        )


def _said_to_be(reviews: Sequence[RatedReview], *, recommended: bool) -> list[RatedReview]:
    """The list that it is in counts more than what a review says of itself."""
    return [review.model_copy(update={"is_recommended": recommended}) for review in reviews]
