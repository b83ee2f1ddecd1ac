"""A reviews lane without Kafka and without an engine: a test decides each answer, each commit, and each crash."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from consumer.analysis.calibration import Calibration
from consumer.analysis.task import Kind
from consumer.engines.contract import Answer, Prepared
from consumer.errors import DeadLetter, Expired
from consumer.hooks.events import Event, Hooks
from consumer.pipeline.ask import Ask
from consumer.pipeline.reviews import Reviews
from consumer.pipeline.summaries import Summaries, SummaryRules
from consumer.pipeline.workload import LaneLimits, Made, Shared
from consumer.store.memory import MemoryStore
from consumer.stream.keys import KeyCheck
from consumer.stream.place import Place
from consumer.stream.record import Output, Partition, Record
from consumer.stream.retry import RetryPolicy
from consumer.stream.state import Store
from schemas.base import Sentiment
from schemas.codec import decode, encode_document
from schemas.results import RestaurantSummary
from schemas.topics import KeyPartitioner, TopicNames
from tests.unit.records import FakeRecord

NAMES = TopicNames.model_validate({name: f.default for name, f in TopicNames.model_fields.items()})
RULES = SummaryRules(
    min_reviews=3,
    min_tokens=1000,
    max_age=60,
    language="ko",
    prompt_tokens=1000,
    retry=RetryPolicy(max_attempts=3, base=10, cap=100, jitter=0),
)
LABELS = {"good": Sentiment.POSITIVE, "bad": Sentiment.NEGATIVE}


@dataclass
class FakeWorker:
    """What a workload sees of its worker."""

    partition: Partition
    closed: bool = False
    done: dict[int, object] = field(default_factory=dict)
    woken: int = 0

    def finish(self, offset: int, item: object) -> None:
        """A record is done."""
        self.done[offset] = item

    def wake(self) -> None:
        """There may be something to commit."""
        self.woken += 1


def shared(world: Any, max_jobs: int = 4) -> Shared:
    """What lanes share; `world` has `asks`, `told` and `now`."""
    return Shared(
        names=NAMES,
        made=Made("e", "m"),
        delivery="exactly_once",
        limits=LaneLimits(1000, 1 << 20, max_jobs),
        submit=world.asks.append,
        hooks=Hooks([world.told.append]),
        clock=lambda: world.now,
        wall=lambda: world.now,
        random=lambda: 0.0,
        deleted_retention=1e9,
        calibration=Calibration(),
    )


class ReviewsLane:
    """A lane's workload on a store. What is sent is labelled at once, by its first word; jobs wait for the test."""

    def __init__(self, store: Store | None = None, rules: SummaryRules = RULES) -> None:
        self.store = store or MemoryStore()
        self.rules = rules
        self.now = 1000.0
        self.asks: list[Ask] = []
        """Jobs' questions that nobody has answered."""
        self.told: list[Event] = []
        self.published: dict[str, list[Output]] = defaultdict(list)
        self._uncommitted: list[Record] = []
        self._offset = 0
        self._open()

    def _open(self) -> None:
        self.worker = cast("Any", FakeWorker(Partition(NAMES.reviews, 0)))
        shares = shared(self)
        summaries = Summaries(self.worker, shares, self.store, self.rules)
        keys = KeyCheck(NAMES.reviews, KeyPartitioner.ANY, 1)
        self.workload = Reviews(self.worker, shares, self.store, summaries, keys)

    def send(self, restaurant: int, number: int, content: str | None, **more: object) -> None:
        """A review event; `good ...` or `bad ...`, None deletes."""
        event = {"review_id": number, "restaurant_id": restaurant, "content": content, **more}
        record: Record = FakeRecord(offset=self._offset, key=str(restaurant).encode(), value=encode_document(event))
        self._offset += 1
        self._uncommitted.append(record)
        self._receive(record)

    def _receive(self, record: Record) -> None:
        before = len(self.asks)
        self.workload.receive(record)
        for ask in self.asks[before:]:
            if ask.deadline is not None and ask.deadline <= self.now:  # as the dispatcher does
                ask.failed(Expired(), ask.attempts)
                continue
            label = LABELS["".join(ask.task.reviews).split()[0]]
            ask.answered(Answer(label=label), Prepared(ask.task, 1, "", 0, truncated=False))
        del self.asks[before:]

    def commit(self) -> list[Output]:
        """All that is done, as a commit that succeeds; gives what it published."""
        staged = self.workload.stage(self._prefix(), {})
        self.store.apply(staged.changes, Place())
        staged.settle()
        self._uncommitted.clear()
        self.worker.done.clear()
        for event in staged.events:
            self.told.append(event)
        for output in staged.outputs:
            self.published[output.topic].append(output)
        return list(staged.outputs)

    def crash(self) -> None:
        """A commit that fails with the process: another owner begins from the store, and gets the records again."""
        self.workload.stage(self._prefix(), {})
        self.asks.clear()
        self._open()
        for record in self._uncommitted:
            self._receive(record)

    def _prefix(self) -> list[object]:
        return [self.worker.done[offset] for offset in sorted(self.worker.done)]

    def start(self) -> float | None:
        """Start the jobs that are due."""
        return self.workload.start_jobs(self.now)

    def answer(
        self,
        ask: Ask,
        positive: Sequence[int] = (1,),
        negative: Sequence[int] = (),
        text: str = "요약",
        *,
        cached: bool = False,
    ) -> None:
        """Answer a summary's question: food is praised by some reviews, service blamed by others."""
        document = {
            "overall_summary": text,
            "positive_aspects": [{"aspect": "food", "claim": "음식", "reviews": list(positive)}] if positive else [],
            "negative_aspects": [{"aspect": "service", "claim": "서비스", "reviews": list(negative)}]
            if negative
            else [],
        }
        self.asks.remove(ask)
        prepared = Prepared(ask.task, 1, "", 0, truncated=False)
        ask.answered(Answer(text=encode_document(document).decode(), cached=cached), prepared)

    def fail(self, ask: Ask) -> None:
        """A question fails for good."""
        self.asks.remove(ask)
        ask.failed(DeadLetter("engine_error", "out of order"), 5)

    def summarise(self, **said: Any) -> None:
        """Start what is due, answer all of it, commit."""
        self.start()
        while self.asks:
            assert self.asks[0].task.kind is Kind.SUMMARY
            self.answer(self.asks[0], **said)
        self.commit()

    def summaries(self, restaurant: int = 1) -> list[RestaurantSummary | None]:
        """All that were published of a restaurant; None for a tombstone."""
        key = str(restaurant).encode()
        mine = [o for o in self.published[NAMES.summary] if o.key == key]
        return [decode(RestaurantSummary, output.value) if output.value else None for output in mine]

    def tuned(self, **rules: Any) -> None:
        """Other rules, from now on and after a new start."""
        self.rules = replace(self.rules, **rules)
        self._open()
