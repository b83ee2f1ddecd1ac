"""The strengths of a request, in two stages: what the others are praised for, then the target against it.

Both start from digests, of the target's reviews and of those it is compared with, which are made side by side. The
second stage starts when this restaurant's own first is over, whatever others are at.
"""

from collections.abc import Sequence
from dataclasses import replace

from consumer.analysis import strengths
from consumer.analysis.answers import StrengthAnswer, parse_comparison
from consumer.analysis.text import language_of
from consumer.engines.contract import Answer, Prepared
from consumer.errors import DeadLetter
from consumer.pipeline.grounding import read_strength
from consumer.pipeline.requests.digest import Digest, Digesting, DigestRules
from consumer.pipeline.requests.questions import Question
from consumer.pipeline.requests.summary import NO_REVIEWS
from schemas.batch import StrengthBatchItem, StrengthBatchResult


class Strengths:
    """Without reviews to compare with, the target's own strengths."""

    def __init__(self, item: StrengthBatchItem, rules: DigestRules) -> None:
        self._item = item
        language = language_of([review.content for review in item.target_reviews], rules.language)
        self._rules = replace(rules, language=language)
        self._target: Digest | None = None
        self._others: tuple[Digest, ...] = ()
        self._comparison: str | None = None
        self._answer: StrengthAnswer | None = None

    def start(self) -> Sequence[Question]:
        """Both digests. Raises DeadLetter where the target has no review."""
        if not self._item.target_reviews:
            raise DeadLetter(NO_REVIEWS, "the target has no review")
        target = Digesting("target", self._item.target_reviews, self._rules, self._take_target).start()
        if not self._item.comparison_reviews:
            self._comparison = ""
            return target
        others = Digesting("comparison", self._item.comparison_reviews, self._rules, self._take_others).start()
        return [*target, *others]

    def _take_target(self, digest: Digest) -> Sequence[Question]:
        self._target = digest
        return self._second()

    def _take_others(self, digest: Digest) -> Sequence[Question]:
        """The first stage: it needs nothing of the target but the language, which both digests have in common."""
        self._others = (digest,)
        task = strengths.comparison_task(digest, self._others)
        if task.claims:
            return [Question(task, "stage-1", self._take_comparison)]
        self._comparison = ""
        return self._second()

    def _take_comparison(self, answer: Answer, _: Prepared) -> Sequence[Question]:
        self._comparison = parse_comparison(answer.text)
        return self._second()

    def _second(self) -> Sequence[Question]:
        """The second stage, when what it needs is there."""
        if self._target is None or self._comparison is None:
            return ()
        task = strengths.strength_task(self._target, self._others, self._comparison)
        if not task.claims:
            self._answer = strengths.nothing_praised(self._target)
            return ()

        def take(answer: Answer, _: Prepared) -> Sequence[Question]:
            self._answer = read_strength(task, answer, self._rules.hooks)
            return ()

        return [Question(task, "stage-2", take)]

    def result(self) -> StrengthBatchResult:
        """Numbers are counted from the digests."""
        if self._target is None or self._answer is None:
            raise RuntimeError("the strengths are not over")
        return StrengthBatchResult(
            target_restaurant_id=self._item.target_restaurant_id,
            strengths=strengths.counted(self._target, self._others, self._answer),
            strength_summary=self._answer.summary,
            comparison_summary=self._comparison or "",
            target_count=len(self._item.target_reviews),
            comparison_count=len(self._item.comparison_reviews),
        )
