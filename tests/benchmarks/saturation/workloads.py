"""What every contestant is asked: the records for the service, and the same questions for those without Kafka."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

from consumer.analysis.calibration import Calibration
from consumer.analysis.sentiment import read_sentiment
from consumer.analysis.task import Kind, Task
from consumer.analysis.text import language_of
from consumer.engines.contract import Answer, Prepared
from consumer.hooks.events import Hooks
from consumer.pipeline.assembly import PROMPT_SHARE
from consumer.pipeline.requests.digest import DigestRules
from consumer.pipeline.requests.questions import Analysis, Question
from consumer.pipeline.requests.strengths import Strengths
from consumer.pipeline.requests.summary import Summary
from schemas.batch import StrengthBatchItem, SummaryBatchItem
from schemas.codec import encode, encode_document
from schemas.events import AnalysisRequest
from tests.benchmarks.saturation.texts import strength_item, summary_item

KEYS = 100
"""Restaurants that the reviews of a sentiment workload are spread over."""


class Ask(NamedTuple):
    """A question, and whose it is: when one of its owner's has failed, the owner's others are not asked any more."""

    owner: int
    """Number of the restaurant; of a sentiment workload, of the review."""
    question: Question


@dataclass(frozen=True, slots=True)
class Workload:
    """One analysis of so many reviews or restaurants."""

    kind: str
    size: int
    unit: Literal["reviews", "restaurants"]
    topic: Literal["reviews", "requests"]
    """That the records are for; a name in TopicNames."""
    records: Sequence[tuple[bytes, bytes]]
    start: Callable[[], Sequence[Ask]]
    """Begins it anew: the first questions; an answer's use gives those that follow."""


def sentiment(texts: Sequence[str], kind: str = "sentiment") -> Workload:
    """A label for each text."""

    def start() -> list[Ask]:
        return [Ask(number, Question(_label_task(text), "label", _read_label)) for number, text in enumerate(texts)]

    records = [_review(number, text) for number, text in enumerate(texts)]
    return Workload(kind, len(texts), "reviews", "reviews", records, start)


def summaries(restaurants: int, budget: int) -> Workload:
    """A batch request for so many summaries. `budget`: tokens of a micro-batch, as the service's."""
    items = [summary_item(number) for number in range(restaurants)]
    start = partial(_begun, [partial(Summary, item, _rules(budget)) for item in items])
    records = [_request("summary", number, restaurants, item) for number, item in enumerate(items)]
    return Workload("summary", restaurants, "restaurants", "requests", records, start)


def strengths(restaurants: int, budget: int) -> Workload:
    """The same of strengths: a restaurant's stages follow each other, and wait for no other restaurant's."""
    items = [strength_item(number) for number in range(restaurants)]
    start = partial(_begun, [partial(Strengths, item, _rules(budget)) for item in items])
    records = [_request("strength", number, restaurants, item) for number, item in enumerate(items)]
    return Workload("strength", restaurants, "restaurants", "requests", records, start)


def _begun(analyses: Sequence[Callable[[], Analysis]]) -> list[Ask]:
    return [Ask(number, question) for number, make in enumerate(analyses) for question in make().start()]


def _rules(budget: int) -> DigestRules:
    """As the service makes them of its settings."""
    return DigestRules(None, budget // PROMPT_SHARE, Hooks())


def _label_task(text: str) -> Task:
    return Task(Kind.SENTIMENT, language_of([text]), (text,))


def _read_label(answer: Answer, _: Prepared) -> Sequence[Question]:
    read_sentiment(answer, Calibration())
    return ()


def _review(number: int, text: str) -> tuple[bytes, bytes]:
    restaurant = f"r{number % KEYS}"
    event = {"review_id": str(number), "restaurant_id": restaurant, "content": text}
    return restaurant.encode(), encode_document(event)


def _request(
    kind: Literal["summary", "strength"], index: int, count: int, item: SummaryBatchItem | StrengthBatchItem
) -> tuple[bytes, bytes]:
    request = AnalysisRequest(request_id="saturation", index=index, count=count, kind=kind, restaurant=item)
    return f"saturation/{index}".encode(), encode(request)
