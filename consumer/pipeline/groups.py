"""The lanes of `restaurant.summaries.by-group`: who is in a group, and what each member is better at."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from consumer.analysis import prompts, strengths
from consumer.analysis.answers import StrengthAnswer, parse_comparison, parse_strength
from consumer.analysis.task import Kind, Task
from consumer.engines.contract import Answer, Prepared
from consumer.errors import DeadLetter
from consumer.hooks.events import Event, What
from consumer.pipeline import outputs
from consumer.pipeline.dispatch import Ask
from consumer.pipeline.worker import Worker
from consumer.pipeline.workload import Shared, Staged
from consumer.stream.owed import Owed
from consumer.stream.place import Place
from consumer.stream.record import Output, Record
from consumer.stream.state import Changes, Store
from consumer.stream.work import Rank
from schemas.base import id_text
from schemas.codec import Undecodable, decode, decode_group_key, group_key, restaurant_key
from schemas.headers import EventType
from schemas.results import Provenance, RestaurantStrengths, RestaurantSummary

Member = tuple[str, str]
"""(comparison group or "", restaurant id as text)."""


@dataclass(frozen=True, slots=True)
class StrengthRules:
    """When strengths are made anew: at once for the member that changed, for the others after so many, or so long."""

    refresh_members: int
    max_age: float
    retry_after: float
    """Seconds until a failed job is tried again."""


@dataclass(frozen=True, slots=True)
class Gone:
    """A member has left: its strengths get a tombstone."""

    member: Member


@dataclass(frozen=True, slots=True)
class Bad:
    """A record that nobody here wrote."""

    record: Record
    fault: DeadLetter


@dataclass(frozen=True, slots=True)
class _Job:
    """Strengths on their way: made from these summaries, whatever arrives meanwhile."""

    member: Member
    target: RestaurantSummary
    others: tuple[RestaurantSummary, ...]
    comparison: str = ""
    answer: StrengthAnswer | None = None


class Groups:
    """The workload of one by-group lane. Its topic is its table, read anew at each assignment."""

    def __init__(self, worker: Worker, shared: Shared, store: Store, rules: StrengthRules) -> None:
        self._store = store
        """For its place alone: the members are in the topic."""
        self._worker, self._shared, self._rules, self._names = worker, shared, rules, shared.names
        self._groups: dict[str, dict[str, RestaurantSummary]] = {}
        self._owed: Owed[Member] = Owed(shared.limits.max_jobs)
        self._changes: Counter[Member] = Counter()
        """Summaries of others that changed since the member's comparison was made."""
        self._comparisons: dict[Member, str] = {}
        self._finished: list[_Job] = []

    def restore(self, record: Record) -> None:
        """Take a record into the table. What its strengths are is not known here, so they are owed."""
        try:
            self._take(record)
        except (Undecodable, DeadLetter):
            return  # it became a dead letter when it was read first

    def receive(self, record: Record) -> None:
        """Take a record into the table; it is done at once, its job is owed."""
        try:
            member, gone = self._take(record)
        except Undecodable as error:
            self._worker.finish(record.offset, Bad(record, DeadLetter(error.reason, str(error))))
            return
        self._worker.finish(record.offset, Gone(member) if gone else None)

    def receive_again(self, record: Record) -> None:
        """The table wants every record."""
        self.receive(record)

    def has_output(self) -> bool:
        """Whether finished strengths wait to be published."""
        return bool(self._finished)

    def start_jobs(self, now: float) -> float | None:
        """Start the strengths that are due."""
        for member in self._owed.start(now):
            self._start(member)
        return self._owed.next_due()

    def stage(self, done: Sequence[object], refused: Mapping[object, str]) -> Staged:
        """Tombstones of those who left, and the finished strengths that are still the newest."""
        now = self._shared.wall()
        out: list[Output] = []
        events: list[Event] = []
        jobs = tuple(self._finished)
        for item in done:
            if isinstance(item, Gone) and item.member not in refused:
                out.append(replace(self._tombstone(item.member), origin=item.member))
            elif isinstance(item, Bad):
                out.append(outputs.dead_letter(self._names.dlq, item.record, item.fault, 1, now))
                events.append(Event(What.DEAD_LETTER, reason=item.fault.reason, detail=str(item.fault)))
        for job in jobs:
            if job.answer and self._is_newest(job) and job.member not in refused:
                out.append(replace(self._result(job, job.answer, now), origin=job.member))
                events.append(Event(What.RESULT, kind="strength", reason="analyzed"))
        return Staged(tuple(out), (), lambda place: self._settle(jobs, refused, place), tuple(events))

    def _take(self, record: Record) -> tuple[Member, bool]:
        group, restaurant = member = decode_group_key(record.key)
        members = self._groups.setdefault(group, {})
        if record.value is None:
            self._forget(member, members)
            return member, True
        members[restaurant] = decode(RestaurantSummary, record.value)
        self._owe(member, members)
        return member, False

    def _forget(self, member: Member, members: dict[str, RestaurantSummary]) -> None:
        members.pop(member[1], None)
        self._owed.settle(member)
        self._comparisons.pop(member, None)
        del self._changes[member]
        if not members:
            del self._groups[member[0]]
        elif member[0]:
            self._changed(member, members)

    def _owe(self, member: Member, members: dict[str, RestaurantSummary]) -> None:
        self._owed.owe(member, self._shared.wall())
        if member[0]:
            self._changed(member, members)

    def _changed(self, member: Member, members: dict[str, RestaurantSummary]) -> None:
        """One of a group has changed: the others' comparisons age."""
        now = self._shared.wall()
        for restaurant in members:
            other = (member[0], restaurant)
            if other != member:
                self._changes[other] += 1
                many = self._changes[other] >= self._rules.refresh_members
                self._owed.owe(other, now if many else now + self._rules.max_age)

    def _start(self, member: Member) -> None:
        group, restaurant = member
        members = self._groups.get(group, {})
        target = members.get(restaurant)
        if target is None:
            self._owed.finish(member)
            return
        others = tuple(s for r, s in members.items() if r != restaurant) if group else ()
        job = _Job(member, target, others)
        known = self._comparisons.get(member) if not self._changes[member] else None
        del self._changes[member]
        task = strengths.comparison_task(target, others)
        if known is None and task.claims:
            self._ask(job, task, lambda answer: self._compared(job, parse_comparison(answer.text)))
        else:
            self._ask_strength(job, known or "")

    def _compared(self, job: _Job, comparison: str) -> None:
        """Stage 1 is there: keep it, and go on to stage 2."""
        self._comparisons[job.member] = comparison
        self._ask_strength(job, comparison)

    def _ask_strength(self, job: _Job, comparison: str) -> None:
        task = strengths.strength_task(job.target, job.others, comparison)
        job = replace(job, comparison=comparison)
        if not task.claims:
            self._finish(replace(job, answer=strengths.nothing_praised(job.target)))
            return
        self._ask(
            job,
            task,
            lambda answer: self._finish(replace(job, answer=parse_strength(answer.text, len(task.claims)))),
        )

    def _ask(self, job: _Job, task: Task, use: Callable[[Answer], None]) -> None:
        def answered(answer: Answer, _: Prepared) -> None:
            use(answer)

        group, restaurant = job.member
        name, failed = f"{group}/{restaurant}/{task.kind}/{job.target.version}", self._failed(job.member)
        self._shared.submit(Ask(task, restaurant, Rank.JOB, self._worker, answered, failed, name=name))

    def _finish(self, job: _Job) -> None:
        if job.answer and job.answer.uncited:
            self._shared.hooks(Event(What.UNGROUNDED, kind=Kind.STRENGTH, count=job.answer.uncited))
        self._finished.append(job)
        self._worker.wake()

    def _failed(self, member: Member) -> Callable[[DeadLetter, int], None]:
        def failed(fault: DeadLetter, _: int) -> None:
            self._shared.hooks(Event(What.JOB_FAILED, kind=Kind.STRENGTH, reason=fault.reason, detail=str(fault)))
            self._comparisons.pop(member, None)  # whatever changed meanwhile is not forgotten
            self._owed.finish(member)
            self._owed.schedule(member, self._shared.wall() + self._rules.retry_after)
            self._worker.wake()

        return failed

    def _is_newest(self, job: _Job) -> bool:
        current = self._groups.get(job.member[0], {}).get(job.member[1])
        return current is not None and current.version == job.target.version

    def _settle(self, jobs: Sequence[_Job], refused: Mapping[object, str], place: Place) -> None:
        self._store.apply(Changes(), place)
        del self._finished[: len(jobs)]
        for job in jobs:
            self._owed.finish(job.member)
            if job.member in refused:
                self._failed(job.member)(DeadLetter("output_refused", refused[job.member]), 1)

    def _tombstone(self, member: Member) -> Output:
        return outputs.tombstone(self._names.strength, group_key(*member), restaurant_key(member[1]))

    def _result(self, job: _Job, answer: StrengthAnswer, now: float) -> Output:
        target, (group, restaurant) = job.target, job.member
        key = group_key(group, restaurant)
        value = RestaurantStrengths(
            restaurant_id=target.restaurant_id,
            strengths=strengths.counted(target, job.others, answer),
            strength_summary=answer.summary,
            comparison_summary=job.comparison,
            compared_with=len(job.others),
            comparison_group=group or None,
            version=target.version,
            provenance=Provenance(
                engine=self._shared.made.engine, model=self._shared.made.model, prompt=prompts.prompt_id(Kind.STRENGTH)
            ),
        )
        marks = outputs.headers(
            outputs.ce_id_of_job(self._names.strength, key, target.version), EventType.STRENGTH, now
        )
        return outputs.result(self._names.strength, key, value, restaurant_key(id_text(restaurant)), marks)
