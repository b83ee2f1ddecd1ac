"""Rolling summaries of one reviews lane: owed by state, asked of the engine, folded back in a commit."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from consumer.analysis import prompts, summary
from consumer.analysis.answers import MAX_REVIEWS, SummaryAnswer, parse_summary
from consumer.analysis.task import Kind, Language
from consumer.analysis.text import language_of
from consumer.engines.contract import Answer, Prepared
from consumer.errors import DeadLetter
from consumer.hooks.events import Event, What
from consumer.pipeline import outputs
from consumer.pipeline.dispatch import Ask
from consumer.pipeline.worker import Worker
from consumer.pipeline.workload import Shared
from consumer.stream import state
from consumer.stream.owed import Owed
from consumer.stream.record import Output
from consumer.stream.state import RestaurantState, ReviewState, Staged, Store, SummaryState
from consumer.stream.work import Rank
from schemas.codec import encode, group_key, restaurant_key
from schemas.headers import EventType
from schemas.results import Provenance, RestaurantSummary
from schemas.topics import by_group_key

JOBS_PER_COMMIT = 8
"""Keeps the state changes of a commit bounded: each job's are below 64 KiB."""


@dataclass(frozen=True, slots=True)
class SummaryRules:
    """When a restaurant owes a summary."""

    min_reviews: int
    max_age: float
    """Seconds that a review waits at most for the others."""
    language: Language | None
    """None: the reviews' majority."""
    retry_after: float
    """Seconds until a failed job is tried again."""

    def due(self, restaurant: RestaurantState) -> float | None:
        """When its summary is due, in the past if enough is new; None where nothing is."""
        if restaurant.pending_since is None:
            return None
        return restaurant.pending_since + (0 if restaurant.pending >= self.min_reviews else self.max_age)


@dataclass(frozen=True, slots=True)
class _Job:
    """A summary on its way: made from exactly these reviews, whatever arrives meanwhile."""

    restaurant: str
    read: tuple[ReviewState, ...]
    language: Language
    truncated: bool = False
    answer: SummaryAnswer | None = None

    @property
    def origin(self) -> object:
        """What its outputs are made from."""
        return ("summary", self.restaurant)


@dataclass(frozen=True, slots=True)
class StagedJobs:
    """The finished jobs of one commit."""

    jobs: tuple[_Job, ...]
    outputs: tuple[Output, ...]
    refused: Mapping[object, str]


class Summaries:
    """The summary jobs of one lane: one at a time per restaurant."""

    def __init__(self, worker: Worker, shared: Shared, store: Store, rules: SummaryRules) -> None:
        self._worker, self._shared, self._store, self._rules = worker, shared, store, rules
        self._names = shared.names
        self._owed: Owed[str] = Owed(shared.limits.max_jobs)
        self._finished: list[_Job] = []
        self._not_before: dict[str, float] = {}
        """Until when a restaurant whose job failed is left alone."""
        for restaurant in store.owing():
            self._owe(restaurant)

    def has_output(self) -> bool:
        """Whether a finished summary waits to be published."""
        return bool(self._finished)

    def start(self, now: float) -> float | None:
        """Ask for the summaries that are due; gives when to come again."""
        for restaurant in self._owed.start(now):
            self._start(restaurant)
        return self._owed.next_due()

    def stage(self, staged: Staged, refused: Mapping[object, str], now: float, events: list[Event]) -> StagedJobs:
        """Fold the finished summaries into the staged state; gives what to publish."""
        jobs = tuple(self._finished[:JOBS_PER_COMMIT])
        out: list[Output] = []
        for job in jobs:
            found = staged.restaurant(job.restaurant)
            if job.answer and found and job.origin not in refused:
                made = self._publish(staged, job, job.answer, found, now)
                out.extend(replace(output, origin=job.origin) for output in made)
                events.extend([Event(What.RESULT, kind="summary", reason="analyzed")] * bool(made))
        return StagedJobs(jobs, tuple(out), refused)

    def settle(self, changes: state.Changes, staged: StagedJobs) -> None:
        """A commit has succeeded: its jobs have ended, its restaurants may owe anew."""
        del self._finished[: len(staged.jobs)]
        for job in staged.jobs:
            if job.origin in staged.refused:
                self._failed(job, DeadLetter("output_refused", staged.refused[job.origin]))
            else:
                self._owed.finish(job.restaurant)
                self._not_before.pop(job.restaurant, None)
        for restaurant in {*changes.restaurants, *(job.restaurant for job in staged.jobs)}:
            self._owe(restaurant)

    def forget(self, staged: Staged, restaurant: str) -> list[Output]:
        """Tombstones of a restaurant that has no review left."""
        found = staged.restaurant(restaurant)
        if found is None or found.summary is None:
            return []
        staged.put_restaurant(restaurant, replace(found, summary=None))
        key, place = restaurant_key(restaurant), self._worker.partition.partition
        return [outputs.tombstone(self._names.summary, key, place), self._leave(found.summary.group, restaurant)]

    def _owe(self, restaurant: str) -> None:
        found = self._store.restaurant(restaurant)
        due = self._rules.due(found) if found else None
        if due is None:
            self._owed.settle(restaurant)
        else:
            self._owed.schedule(restaurant, max(due, self._not_before.get(restaurant, due)))

    def _start(self, restaurant: str) -> None:
        found = self._store.restaurant(restaurant)
        read = tuple(self._store.pending(restaurant, MAX_REVIEWS))
        if found is None or not read:
            self._owed.finish(restaurant)
            return
        texts = [review.text or "" for review in read]
        job = _Job(restaurant, read, language_of(texts, self._rules.language))
        task = summary.summary_task(found.summary, texts, job.language)
        self._shared.submit(
            Ask(
                task,
                restaurant,
                Rank.JOB,
                self._worker,
                lambda answer, prepared: self._answered(job, answer, prepared),
                lambda fault, _: self._failed(job, fault),
                name=f"{restaurant}/summary/{read[0].review_id}/{read[0].version}",
            )
        )

    def _answered(self, job: _Job, answer: Answer, prepared: Prepared) -> None:
        parsed = parse_summary(answer.text, len(job.read))
        if parsed.uncited:
            self._shared.hooks(Event(What.UNGROUNDED, kind=Kind.SUMMARY, count=parsed.uncited))
        self._finished.append(replace(job, answer=parsed, truncated=prepared.truncated or answer.truncated))
        self._worker.wake()

    def _failed(self, job: _Job, fault: DeadLetter) -> None:
        self._shared.hooks(Event(What.JOB_FAILED, kind=Kind.SUMMARY, reason=fault.reason, detail=str(fault)))
        self._not_before[job.restaurant] = self._shared.wall() + self._rules.retry_after
        self._owed.finish(job.restaurant)
        self._owe(job.restaurant)
        self._worker.wake()

    def _publish(
        self, staged: Staged, job: _Job, answer: SummaryAnswer, found: RestaurantState, now: float
    ) -> list[Output]:
        """Merge what was found in reviews that still stand, retire them, and write the new summary."""
        standing = [review if staged.stands(job.restaurant, review) else None for review in job.read]
        if not any(standing):
            return []
        last = found.summary
        merged = summary.merge(last.positive if last else (), last.negative if last else (), answer, standing)
        staged.retire(job.restaurant, [review for review in standing if review], merged.supports, now)
        after = staged.restaurant(job.restaurant) or found
        made = SummaryState(
            answer.overall,
            merged.positive,
            merged.negative,
            job.language,
            after.summaries + 1,
            after.group,
            job.truncated,
        )
        return self._replaced(staged, job.restaurant, after, state.bounded(made), now)

    def corrected(self, staged: Staged, restaurant: str, now: float) -> list[Output]:
        """The last summary anew, without asking the engine, when a review it rests on is gone or the group has changed.

        A deleted review's words do not stay published until somebody writes another one.
        """
        found, published = staged.restaurant(restaurant), self._store.restaurant(restaurant)
        if found is None or found.summary is None or published is None or published.summary is None:
            return []
        last = found.summary
        if (last.positive, last.negative) == (published.summary.positive, published.summary.negative) and (
            last.group == found.group
        ):
            return []
        made = replace(last, version=found.summaries + 1, group=found.group)
        return self._replaced(staged, restaurant, found, made, now)

    def _replaced(
        self, staged: Staged, restaurant: str, found: RestaurantState, made: SummaryState, now: float
    ) -> list[Output]:
        """Stage a summary in place of the last, and write it; a group it has left gets a tombstone."""
        last = found.summary
        after = replace(found, summary=made, summaries=made.version)
        staged.put_restaurant(restaurant, after)
        left = [self._leave(last.group, restaurant)] if last and last.group != made.group else []
        return [*left, *self._records(restaurant, after, made, now)]

    def _records(self, restaurant: str, counts: RestaurantState, made: SummaryState, now: float) -> list[Output]:
        key, partition = restaurant_key(restaurant), self._worker.partition.partition
        value = encode(self._value(counts, made))
        marks = outputs.headers(outputs.ce_id_of_job(self._names.summary, key, made.version), EventType.SUMMARY, now)
        in_group = group_key(made.group, restaurant)
        return [
            Output(self._names.summary, key, value, partition, marks),
            Output(self._names.by_group, in_group, value, by_group_key(made.group, key), marks),
        ]

    def _value(self, counts: RestaurantState, made: SummaryState) -> RestaurantSummary:
        return RestaurantSummary(
            restaurant_id=counts.restaurant_id,
            overall_summary=made.overall,
            positive_aspects=made.positive,
            negative_aspects=made.negative,
            positive_count=counts.positive,
            negative_count=counts.negative,
            review_count=counts.total,
            version=made.version,
            comparison_group=made.group,
            language=made.language,
            provenance=Provenance(
                engine=self._shared.made.engine,
                model=self._shared.made.model,
                prompt=prompts.prompt_id(Kind.SUMMARY),
                truncated=made.truncated,
            ),
        )

    def _leave(self, group: str | None, restaurant: str) -> Output:
        """The tombstone of a restaurant in a group it is no longer in."""
        key = group_key(group, restaurant)
        return outputs.tombstone(self._names.by_group, key, by_group_key(group, restaurant_key(restaurant)))
