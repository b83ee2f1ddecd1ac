"""Any number of a request's reviews as one summary: the stream's rounds, each over the claims of the one before."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from consumer.analysis.answers import SummaryAnswer
from consumer.analysis.summary import Merged, merge
from consumer.analysis.task import Language, Polarity
from consumer.analysis.text import language_of
from consumer.engines.contract import Answer, Prepared
from consumer.hooks.events import Hooks
from consumer.pipeline.grounding import read_summary
from consumer.pipeline.requests.questions import Question
from consumer.pipeline.rounds import Marks, Round
from consumer.pipeline.rounds import Question as RoundQuestion
from schemas.batch import RatedReview
from schemas.findings import Aspect


@dataclass(frozen=True, slots=True)
class RequestedReview:
    """A review of a request, as a round reads it."""

    review_id: str | int | None
    text: str
    known_as: str
    leaning: Polarity | None
    """What the request says of it."""

    @classmethod
    def of(cls, number: int, review: RatedReview) -> "RequestedReview":
        """The review in this place of its list."""
        leaning: Polarity | None = None
        if review.is_recommended is not None:
            leaning = "positive" if review.is_recommended else "negative"
        return cls(review.id, review.content, str(number), leaning)


@dataclass(frozen=True, slots=True)
class Digest:
    """What some reviews say."""

    overall: str
    positive_aspects: tuple[Aspect, ...]
    negative_aspects: tuple[Aspect, ...]
    review_count: int
    language: Language


@dataclass(frozen=True, slots=True)
class DigestRules:
    """How one is made."""

    language: Language | None
    prompt_tokens: int
    hooks: Hooks


class Digesting:
    """On the way to a digest. `then` takes it, and gives what is asked next."""

    def __init__(
        self,
        name: str,
        reviews: Sequence[RatedReview],
        rules: DigestRules,
        then: Callable[[Digest], Sequence[Question]],
    ) -> None:
        """`name`: of these reviews, within their request. There is at least one."""
        self._name, self._rules, self._then = name, rules, then
        self._left = [RequestedReview.of(number, review) for number, review in enumerate(reviews)]
        self._count = len(reviews)
        self._language = language_of([review.content for review in reviews], rules.language)
        self._last: Merged | None = None
        self._overall = ""

    def start(self) -> Sequence[Question]:
        """Ask for the next round. What it does not read is left for the one after."""
        one = Round(self._name, self._left, self._language, self._rules.prompt_tokens, lambda read: read.leaning)
        return self._questions(one, one.questions(self._last))

    def _questions(self, one: Round[RequestedReview], found: Sequence[RoundQuestion]) -> list[Question]:
        return [Question(its.task, its.name, partial(self._take, one, its)) for its in found]

    def _take(
        self, one: Round[RequestedReview], question: RoundQuestion, answer: Answer, prepared: Prepared
    ) -> Sequence[Question]:
        parsed = read_summary(question.task, answer, self._rules.hooks)
        more = one.take(question.number, parsed, self._last, Marks(prepared.truncated, answer.cached))
        return self._end(one, one.answer) if one.answer else self._questions(one, more)

    def _end(self, one: Round[RequestedReview], answer: SummaryAnswer) -> Sequence[Question]:
        last = self._last
        self._last = merge(last.positive if last else (), last.negative if last else (), answer, one.read)
        self._overall = answer.overall
        self._left = self._left[len(one.read) :]
        if self._left:
            return self.start()
        found = Digest(self._overall, self._last.positive, self._last.negative, self._count, self._language)
        return self._then(found)
