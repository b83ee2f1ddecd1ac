"""The lanes of `restaurant.reviews`: a label for each review, totals and summaries for each restaurant."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from consumer.analysis import prompts
from consumer.analysis.agreement import agreement
from consumer.analysis.sentiment import read_sentiment
from consumer.analysis.task import Kind, Task
from consumer.analysis.text import language_of
from consumer.analysis.totals import ratios
from consumer.engines.contract import Answer, Prepared
from consumer.errors import DeadLetter, Expired
from consumer.hooks.events import Event, What
from consumer.pipeline import outputs
from consumer.pipeline.dispatch import Ask
from consumer.pipeline.summaries import Summaries
from consumer.pipeline.worker import Worker
from consumer.pipeline.workload import Shared, Staged, dead_letter_told
from consumer.stream import state
from consumer.stream.keys import KeyCheck
from consumer.stream.record import Output, Partition, Record, check_header_names
from consumer.stream.work import Rank
from consumer.values import value
from schemas.base import id_text
from schemas.codec import Undecodable, decode_review, restaurant_key
from schemas.events import ReviewEvent
from schemas.headers import EventType
from schemas.results import Provenance, SentimentResult, SentimentTotals, Source

EXPIRED_PER_COMMIT = 100
"""Marks of deleted reviews that a commit forgets at most."""


@value
class Reviewed:
    """A review that was read: its label is None exactly when it was deleted."""

    record: Record
    event: ReviewEvent
    label: state.Label | None = None
    truncated: bool = False
    cached: bool = False


@value
class Known:
    """A review that the state holds already: its result is written again."""

    record: Record
    event: ReviewEvent


@value
class TooLate:
    """A review whose deadline passed while it waited: it changes nothing, and its result says so."""

    record: Record
    event: ReviewEvent


@value
class Refused:
    """A record that becomes a dead letter."""

    record: Record
    fault: DeadLetter
    attempts: int = 1


Done = Reviewed | Known | TooLate | Refused


class Reviews:
    """The workload of one reviews lane."""

    def __init__(
        self, worker: Worker, shared: Shared, store: state.Store, summaries: Summaries, keys: KeyCheck
    ) -> None:
        self._worker, self._shared, self._store, self._summaries, self._keys = worker, shared, store, summaries, keys
        self._names = shared.names

    def restore(self, record: Record) -> None:
        """Nothing: this lane's state is not in its topic."""

    def receive(self, record: Record) -> None:
        """Decode and check, then ask for the label; what cannot be answered is done at once."""
        if event := self._read(record):
            self._ask(record, event)

    def receive_again(self, record: Record) -> None:
        """Its label is in the state: nobody is asked."""
        if event := self._read(record):
            self._worker.finish(record.offset, Known(record, event))

    def _read(self, record: Record) -> ReviewEvent | None:
        """The event; None where it is refused."""
        try:
            check_header_names(record)
            decoded = decode_review(record.value)
            self._keys.check(record.key, record.partition, restaurant_key(decoded.event.restaurant_id))
        except (Undecodable, DeadLetter) as error:
            self._refuse(record, DeadLetter(error.reason, str(error)), 1)
            return None
        for name in decoded.dropped:
            self._shared.hooks(Event(What.FIELD_DROPPED, *self._worker.partition, reason=name, records=(record,)))
        return decoded.event

    def has_output(self) -> bool:
        """Whether a finished summary waits to be published."""
        return self._summaries.has_output()

    def start_jobs(self, now: float) -> float | None:
        """Start the summaries that are due."""
        return self._summaries.start(now)

    def stage(self, done: Sequence[object], refused: Mapping[object, str]) -> Staged:
        """Fold the done prefix in offset order, then take in the finished summaries."""
        now = self._shared.wall()
        staged = state.Staged(self._store)
        staged.look_up([_name(item.event) for item in done if isinstance(item, Reviewed)])
        out: list[Output] = []
        told = _Told()
        touched: dict[str, Record] = {}
        out.extend(
            self._answer(staged, _dead_if_refused(item, refused), touched, now, told)
            for item in done
            if isinstance(item, Done)
        )
        events = told.events(self._worker.partition)
        for restaurant, last in touched.items():
            about = self._totals(staged, restaurant, last, now)
            about.extend(self._summaries.corrected(staged, restaurant, now))
            out.extend(replace(output, origin=last.offset) for output in about)
        staged.expire(now - self._shared.deleted_retention, EXPIRED_PER_COMMIT)
        summaries = self._summaries.stage(staged, refused, now, events)
        out.extend(summaries.outputs)

        def settle() -> None:
            self._summaries.settle(staged.changes, summaries)

        return Staged(tuple(out), staged.changes, settle, tuple(events))

    def _answer(
        self,
        staged: state.Staged,
        item: Done,
        touched: dict[str, Record],
        now: float,
        told: "_Told",
    ) -> Output:
        """A record's result, or its dead letter."""
        if isinstance(item, Refused):
            told.dead.append(dead_letter_told(item.record, item.fault))
            return outputs.dead_letter(self._names.dlq, item.record, item.fault, item.attempts, now)
        if isinstance(item, TooLate):
            folded, truncated, cached = state.Folded("expired"), False, False
        elif isinstance(item, Known):
            folded, truncated, cached = state.answer_again(self._store, _arrival(item)), False, False
        else:
            folded, truncated, cached = self._fold(staged, item, touched, now), item.truncated, item.cached
            if folded.outcome == "analyzed" and folded.label:
                for compared in agreement(folded.label.sentiment, item.event):
                    told.compared[compared] += 1
        told.outcomes[folded.outcome] += 1
        made = self._made(item.record, cached=cached, truncated=truncated)
        return self._result(item.record, item.event, folded, now, made)

    def _ask(self, record: Record, event: ReviewEvent) -> None:
        content = event.content
        if content is None:
            self._worker.finish(record.offset, Reviewed(record, event))
            return
        self._shared.submit(
            Ask(
                Task(Kind.SENTIMENT, language_of([content]), reviews=(content,)),
                id_text(event.restaurant_id),
                Rank.of(event.priority),
                self._worker,
                lambda answer, prepared: self._answered(record, event, answer, prepared),
                lambda fault, attempts: self._failed(record, event, fault, attempts),
                name=outputs.ce_id_of_record(record, "sentiment"),
                deadline=self._shared.on_clock(event.deadline),
                feed=record.topic,
                record=record,
                trace=self._shared.trace(record),
            )
        )

    def _answered(self, record: Record, event: ReviewEvent, answer: Answer, prepared: Prepared) -> None:
        verdict = read_sentiment(answer, self._shared.calibration)
        label, truncated = state.Label(verdict.label, verdict.score), prepared.truncated or answer.truncated
        self._worker.finish(record.offset, Reviewed(record, event, label, truncated, answer.cached))

    def _failed(self, record: Record, event: ReviewEvent, fault: DeadLetter, attempts: int) -> None:
        if isinstance(fault, Expired):
            self._worker.finish(record.offset, TooLate(record, event))
        else:
            self._refuse(record, fault, attempts)

    def _refuse(self, record: Record, fault: DeadLetter, attempts: int) -> None:
        self._worker.finish(record.offset, Refused(record, fault, attempts))

    def _fold(self, staged: state.Staged, item: Reviewed, touched: dict[str, Record], now: float) -> state.Folded:
        restaurant = id_text(item.event.restaurant_id)
        before = _shown(staged.restaurant(restaurant))
        folded = state.fold(staged, _arrival(item), item.label, now)
        if folded.outcome == "analyzed" or _shown(staged.restaurant(restaurant)) != before:
            touched[restaurant] = item.record
        return folded

    def _result(self, record: Record, event: ReviewEvent, folded: state.Folded, now: float, made: Provenance) -> Output:
        label = folded.label
        value = SentimentResult(
            review_id=event.review_id,
            restaurant_id=event.restaurant_id,
            review_version=event.version,
            outcome=folded.outcome,
            sentiment=label.sentiment if label else None,
            score=label.score if label else None,
            provenance=made,
        )
        ce_id = outputs.ce_id_of_record(record, "sentiment")
        marks = outputs.headers(ce_id, EventType.SENTIMENT, now, self._shared.trace(record))
        key = restaurant_key(event.restaurant_id)
        place = self._worker.partition.partition
        return outputs.result(self._names.sentiment, key, value, place, marks, record.offset)

    def _made(self, record: Record, *, cached: bool, truncated: bool) -> Provenance:
        return Provenance(
            engine=self._shared.made.engine,
            model=self._shared.made.model,
            prompt=prompts.prompt_id(Kind.SENTIMENT),
            source=Source(topic=record.topic, partition=record.partition, offset=record.offset),
            cached=cached,
            truncated=truncated,
        )

    def _totals(self, staged: state.Staged, restaurant: str, last: Record, now: float) -> list[Output]:
        """The restaurant's counts; tombstones when no review is left."""
        counts = staged.restaurant(restaurant)
        place, key = self._worker.partition.partition, restaurant_key(restaurant)
        if counts is None:
            return []
        if counts.total == 0:
            return [outputs.tombstone(self._names.totals, key, place), *self._summaries.forget(staged, restaurant)]
        percents = ratios(counts.positive, counts.negative, counts.neutral)
        value = SentimentTotals(
            restaurant_id=counts.restaurant_id,
            positive_count=counts.positive,
            negative_count=counts.negative,
            neutral_count=counts.neutral,
            total_count=counts.total,
            positive_ratio=percents[0],
            negative_ratio=percents[1],
            neutral_ratio=percents[2],
            updated_at=datetime.fromtimestamp(now, UTC),
        )
        marks = outputs.headers(outputs.ce_id_of_record(last, "totals"), EventType.TOTALS, now)
        return [outputs.result(self._names.totals, key, value, place, marks)]


def _arrival(item: Reviewed | Known) -> state.Arrival:
    record = item.record
    return state.Arrival(item.event, record.timestamp, outputs.is_replayed(record), record.offset)


def _name(event: ReviewEvent) -> tuple[str, str]:
    return id_text(event.restaurant_id), id_text(event.review_id)


def _dead_if_refused(item: Done, refused: Mapping[object, str]) -> Done:
    """What Kafka would not take becomes its record's dead letter; nothing of it is folded."""
    offset = item.record.offset
    if isinstance(item, Refused) or offset not in refused:
        return item
    return Refused(item.record, DeadLetter("output_refused", refused[offset]))


def _shown(restaurant: state.RestaurantState | None) -> tuple[tuple[int, int, int], str | None]:
    """What its totals and its last summary show of it."""
    return (restaurant.counts, restaurant.group) if restaurant and restaurant.total else ((0, 0, 0), None)


@dataclass(slots=True)
class _Told:
    """What a commit has to tell, counted together."""

    outcomes: Counter[str] = field(default_factory=Counter)
    compared: Counter[tuple[str, str]] = field(default_factory=Counter)
    dead: list[Event] = field(default_factory=list)

    def events(self, lane: Partition) -> list[Event]:
        """Of records alone."""
        results = (Event(What.RESULT, *lane, "sentiment", said, number) for said, number in self.outcomes.items())
        compared = (Event(What.COMPARED, *lane, name, said, number) for (name, said), number in self.compared.items())
        return [*self.dead, *results, *compared]
