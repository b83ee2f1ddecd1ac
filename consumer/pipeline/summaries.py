"""Rolling summaries of one reviews lane: owed by state, asked of the engine, folded back in a commit."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import takewhile

from consumer.analysis import summary
from consumer.analysis.answers import MAX_REVIEWS, SummaryAnswer
from consumer.analysis.task import Kind, Language
from consumer.engines.contract import Answer, Prepared
from consumer.errors import DeadLetter
from consumer.hooks.events import Event, What
from consumer.pipeline.dispatch import Ask
from consumer.pipeline.grounding import read_summary
from consumer.pipeline.parking import Parking
from consumer.pipeline.rounds import MAX_PROMPTS, Marks, Question, Round
from consumer.pipeline.summary_outputs import SummaryOutputs
from consumer.pipeline.worker import Worker
from consumer.pipeline.workload import Shared
from consumer.stream import state
from consumer.stream.owed import Owed
from consumer.stream.record import Output
from consumer.stream.retry import RetryPolicy
from consumer.stream.state import RestaurantState, ReviewState, Staged, Store, SummaryState
from consumer.stream.work import Rank

JOBS_PER_COMMIT = 8
REVIEWS_PER_COMMIT = MAX_PROMPTS * MAX_REVIEWS
"""They keep the state changes of a commit bounded: a job's restaurant is below 64 KiB, a review it has read some 100
bytes. At least one job goes into a commit, and has no more reviews than this."""

CHARACTERS_PER_TOKEN = 2.0
"""Of pending texts, where only their length is known: between Korean's 1.5 and English's 4."""


_Round = Round[ReviewState]


@dataclass(frozen=True, slots=True)
class SummaryRules:
    """When a restaurant owes a summary, and how it is made."""

    min_reviews: int
    min_tokens: int
    """Of the new reviews' texts, estimated by their length."""
    max_age: float
    """Seconds that a review waits at most for the others."""
    language: Language | None
    """None: the reviews' majority."""
    prompt_tokens: int
    """What the reviews' texts of one prompt may weigh."""
    retry: RetryPolicy
    """Pauses after jobs that failed, and how many may."""

    def due(self, restaurant: RestaurantState) -> float | None:
        """When its summary is due, in the past if enough is new; None where nothing is, or it is parked."""
        if restaurant.pending_since is None or restaurant.parked:
            return None
        tokens = restaurant.pending_characters / CHARACTERS_PER_TOKEN
        enough = restaurant.pending >= self.min_reviews or tokens >= self.min_tokens
        return restaurant.pending_since + (0 if enough else self.max_age)


@dataclass(frozen=True, slots=True)
class StagedRounds:
    """The rounds of one commit, well or not."""

    rounds: tuple[_Round, ...]
    outputs: tuple[Output, ...]


class Summaries:
    """The summary jobs of one lane: one at a time per restaurant."""

    def __init__(self, worker: Worker, shared: Shared, store: Store, rules: SummaryRules) -> None:
        self._worker, self._shared, self._store, self._rules = worker, shared, store, rules
        self._outputs = SummaryOutputs(shared, worker.partition.partition)
        self._owed: Owed[str] = Owed(shared.limits.max_jobs)
        self._finished: list[_Round] = []
        self._parking: Parking[str] = Parking(Kind.SUMMARY, worker.partition, shared, rules.retry)
        for restaurant in store.owing():
            self._owe(restaurant)

    def has_output(self) -> bool:
        """Whether a round is over: its summary waits to be published, or its failure to be remembered."""
        return bool(self._finished)

    def start(self, now: float) -> float | None:
        """Ask for the summaries that are due; gives when to come again."""
        for restaurant in self._owed.start(now):
            self._start(restaurant)
        return self._owed.next_due()

    def stage(self, staged: Staged, refused: Mapping[object, str], now: float, events: list[Event]) -> StagedRounds:
        """Fold the finished rounds into the staged state; gives what to publish."""
        out: list[Output] = []
        rounds = self._next()
        for one in rounds:
            fault = DeadLetter("output_refused", refused[one.origin]) if one.origin in refused else one.fault
            if (found := staged.restaurant(one.restaurant)) is None:
                continue
            if fault or one.answer is None:
                self._note_failure(staged, one, found, fault, events)
                continue
            made = self._publish(staged, one, one.answer, found, now)
            out.extend(replace(output, origin=one.origin) for output in made)
            events.extend([Event(What.RESULT, kind="summary", reason="analyzed")] * bool(made))
        return StagedRounds(rounds, tuple(out))

    def settle(self, changes: state.Changes, staged: StagedRounds) -> None:
        """A commit has succeeded: its rounds have ended, its restaurants may owe anew."""
        del self._finished[: len(staged.rounds)]
        for one in staged.rounds:
            self._owed.finish(one.restaurant)
            found = self._store.restaurant(one.restaurant)
            self._parking.ended(one.restaurant, found.failures if found else 0)
        for restaurant in {*changes.restaurants, *(one.restaurant for one in staged.rounds)}:
            self._owe(restaurant)

    def forget(self, staged: Staged, restaurant: str) -> list[Output]:
        """Tombstones of a restaurant that has no review left."""
        found = staged.restaurant(restaurant)
        if found is None or found.summary is None:
            return []
        staged.put_restaurant(restaurant, replace(found, summary=None))
        return self._outputs.gone(restaurant, found.summary)

    def corrected(self, staged: Staged, restaurant: str, now: float) -> list[Output]:
        """The last summary anew, without asking the engine, when a review it rests on is gone or the group has changed.

        A deleted review's words do not stay published until somebody writes another one. Counts alone wait for the
        next summary, where one is owed.
        """
        found, published = staged.restaurant(restaurant), self._store.restaurant(restaurant)
        if found is None or found.summary is None or published is None or published.summary is None:
            return []
        last, before = found.summary, published.summary
        same = (last.positive, last.negative, found.group) == (before.positive, before.negative, last.group)
        if same and (found.pending or last.counted == found.counts):
            return []
        return self._outputs.replaced(staged, restaurant, found, replace(last, group=found.group), now)

    def _next(self) -> tuple[_Round, ...]:
        """The rounds of the next commit: as many as its state changes have room for, one at least."""
        room, rounds = REVIEWS_PER_COMMIT, self._finished[:JOBS_PER_COMMIT]

        def fits(one: _Round) -> bool:
            nonlocal room
            room -= len(one.read)
            return room >= 0

        return tuple(takewhile(fits, rounds)) or tuple(rounds[:1])

    def _owe(self, restaurant: str) -> None:
        found = self._store.restaurant(restaurant)
        self._parking.put(restaurant, parked=bool(found and found.parked))
        due = self._rules.due(found) if found else None
        if due is None:
            self._owed.settle(restaurant)
        else:
            self._owed.schedule(restaurant, self._parking.not_before(restaurant, due))

    def _start(self, restaurant: str) -> None:
        found = self._store.restaurant(restaurant)
        waiting = self._store.pending(restaurant, REVIEWS_PER_COMMIT)
        if found is None or not waiting:
            self._owed.finish(restaurant)
            return
        one = Round(restaurant, waiting, self._rules.language, self._rules.prompt_tokens)
        for question in one.questions(found.summary):
            self._ask(one, question)

    def _ask(self, one: _Round, question: Question) -> None:
        def answered(answer: Answer, prepared: Prepared) -> None:
            parsed = read_summary(question.task, answer, self._shared.hooks)
            marks = Marks(prepared.truncated, answer.cached)
            for more in one.take(question.number, parsed, self._last(one.restaurant), marks):
                self._ask(one, more)
            self._look(one)

        def failed(fault: DeadLetter, _: int) -> None:
            one.fail(fault)
            self._look(one)

        name, restaurant = question.name, one.restaurant
        self._shared.submit(Ask(question.task, restaurant, Rank.JOB, self._worker, answered, failed, name=name))

    def _look(self, one: _Round) -> None:
        if one.over:
            self._finished.append(one)
            self._worker.wake()

    def _last(self, restaurant: str) -> SummaryState | None:
        found = self._store.restaurant(restaurant)
        return found.summary if found else None

    def _note_failure(
        self, staged: Staged, one: _Round, found: RestaurantState, fault: DeadLetter | None, events: list[Event]
    ) -> None:
        """Count it in the restaurant's state: after a restart it goes on from there, and the last one parks it."""
        said = self._parking.failed(one.restaurant, found.failures + 1, fault)
        events.extend(said.events)
        if found.pending:  # else its reviews are gone, and nothing is owed
            staged.put_restaurant(one.restaurant, replace(found, failures=found.failures + 1, parked=said.parked))

    def _publish(
        self, staged: Staged, one: _Round, answer: SummaryAnswer, found: RestaurantState, now: float
    ) -> list[Output]:
        """Merge what was found in reviews that stand, retire them, and write the summary if it says anything new."""
        standing = [review if staged.stands(one.restaurant, review) else None for review in one.read]
        if not any(standing):
            return []
        last = found.summary
        merged = summary.merge(last.positive if last else (), last.negative if last else (), answer, standing)
        staged.retire(one.restaurant, [review for review in standing if review], merged.supports, now)
        after = staged.restaurant(one.restaurant) or found
        version = last.version if last else 0
        texts = answer.overall, merged.positive, merged.negative, one.language
        made = state.bounded(SummaryState(*texts, version, after.group, one.truncated, after.counts, one.cached))
        unchanged = last is not None and replace(last, cached=made.cached) == made
        return [] if unchanged else self._outputs.replaced(staged, one.restaurant, after, made, now)
