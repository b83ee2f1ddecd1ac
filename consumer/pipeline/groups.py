"""The lanes of `restaurant.summaries.by-group`: who is in a group, and what each member is better at."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from consumer.analysis import strengths
from consumer.analysis.answers import StrengthAnswer, parse_comparison
from consumer.analysis.task import Kind, Task
from consumer.engines.contract import Answer, Prepared
from consumer.errors import DeadLetter
from consumer.hooks.events import Event, What
from consumer.pipeline import outputs
from consumer.pipeline.dispatch import Ask
from consumer.pipeline.grounding import read_strength
from consumer.pipeline.parking import Parking
from consumer.pipeline.strength_outputs import StrengthOutputs
from consumer.pipeline.worker import Worker
from consumer.pipeline.workload import Shared, Staged, dead_letter_told
from consumer.stream.members import Basis, Debounce, Member, Members
from consumer.stream.owed import Owed
from consumer.stream.record import Output, Record, check_header_names
from consumer.stream.retry import RetryPolicy
from consumer.stream.state import Changes, Store, StrengthState
from consumer.stream.work import Rank
from schemas.codec import Undecodable, decode, decode_group_key
from schemas.results import RestaurantSummary


@dataclass(frozen=True, slots=True)
class StrengthRules:
    """When strengths are made, and how often one that fails is tried."""

    debounce: Debounce
    retry: RetryPolicy


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
    basis: Basis
    target: RestaurantSummary
    others: tuple[RestaurantSummary, ...]
    comparison: str = ""
    cached: bool = True
    """Whether every answer so far came from the result cache."""
    answer: StrengthAnswer | None = None
    fault: DeadLetter | None = None


class Groups:
    """The workload of one by-group lane. Its topic is its table, read anew at each assignment.

    What each member's strengths came from is the lane's state: only those are made anew whose basis differs.
    """

    def __init__(self, worker: Worker, shared: Shared, store: Store, rules: StrengthRules) -> None:
        self._worker, self._shared, self._store, self._rules = worker, shared, store, rules
        self._outputs = StrengthOutputs(shared)
        self._members = Members()
        self._last: dict[Member, StrengthState] = {}
        """The state of those who are in the table: it is asked for at every change of one of their group."""
        self._owed: Owed[Member] = Owed(shared.limits.max_jobs)
        self._parking: Parking[Member] = Parking(Kind.STRENGTH, worker.partition, shared, rules.retry)
        self._comparisons: dict[Member, tuple[str, str]] = {}
        """Digest of the others, and what they are praised for."""
        self._running: set[Member] = set()
        self._finished: list[_Job] = []
        self._whole = False
        """Whether the table has been read: before, nothing is known to be owed."""

    def restore(self, record: Record) -> None:
        """Take a record into the table."""
        try:
            self._take(record)
        except (Undecodable, DeadLetter):
            return  # it became a dead letter when it was read first

    def receive(self, record: Record) -> None:
        """Take a record into the table; it is done at once, its job is owed."""
        try:
            member, gone = self._take(record)
        except (Undecodable, DeadLetter) as error:
            self._worker.finish(record.offset, Bad(record, DeadLetter(error.reason, str(error))))
            return
        if self._whole:
            self._owe(member)
            for restaurant in self._members.compared(member):
                self._owe((member[0], restaurant))
        self._worker.finish(record.offset, Gone(member) if gone else None)

    def receive_again(self, record: Record) -> None:
        """The table wants every record."""
        self.receive(record)

    def has_output(self) -> bool:
        """Whether a job is over: its strengths wait to be published, or its failure to be remembered."""
        return bool(self._finished)

    def start_jobs(self, now: float) -> float | None:
        """Start the strengths that are due. The table has been read when this is called first."""
        if not self._whole:
            self._whole = True
            for member in list(self._members):
                self._owe(member)
        for member in self._owed.start(now):
            self._start(member)
        return self._owed.next_due()

    def stage(self, done: Sequence[object], refused: Mapping[object, str]) -> Staged:
        """Tombstones of those who left, and the finished strengths that are still the newest."""
        now, changes = self._shared.wall(), Changes()
        out: list[Output] = []
        events: list[Event] = []
        jobs = tuple(self._finished)
        for item in done:
            if isinstance(item, Bad):
                out.append(outputs.dead_letter(self._shared.names.dlq, item.record, item.fault, 1, now))
                events.append(dead_letter_told(item.record, item.fault))
            elif isinstance(item, Gone) and self._members.get(item.member) is None:  # or it is back already
                changes.strengths[item.member] = None
                if item.member not in refused:
                    out.append(replace(self._outputs.tombstone(item.member), origin=item.member))
        if taken := len(done) - len(events):
            events.append(Event(What.RESULT, *self._worker.partition, reason="taken", count=taken))
        for job in jobs:
            out.extend(self._staged_job(job, changes, refused, now, events))
        return Staged(tuple(out), changes, lambda: self._settle(jobs, changes), tuple(events))

    def _staged_job(
        self, job: _Job, changes: Changes, refused: Mapping[object, str], now: float, events: list[Event]
    ) -> list[Output]:
        """A job's strengths, and the state that says what they came from. One that is not the newest leaves nothing."""
        last = self._known(job.member)
        fault = DeadLetter("output_refused", refused[job.member]) if job.member in refused else job.fault
        if not self._is_newest(job):
            return []
        if fault or job.answer is None:
            failures = 1 + (last.failures if last.tried == job.basis.version else 0)
            said = self._parking.failed(job.member, failures, fault)
            tried = replace(last, failures=failures, tried=job.basis.version, parked=said.parked)
            changes.strengths[job.member] = tried
            events.extend(said.events)
            return []
        value = self._outputs.value(job.member, job.target, job.others, job.comparison, job.answer)
        made = _made(job.basis, last, self._outputs.digest(value))
        changes.strengths[job.member] = made
        if (made.version, made.content) == (last.version, last.content):
            return []  # others have changed, and nothing for this one
        events.append(Event(What.RESULT, kind="strength", reason="analyzed"))
        marked = self._outputs.marked(value, cached=job.cached)
        return [replace(self._outputs.record(job.member, marked, made.revision, now), origin=job.member)]

    def _settle(self, jobs: Sequence[_Job], changes: Changes) -> None:
        del self._finished[: len(jobs)]
        for member, state in changes.strengths.items():
            if state is None:
                self._last.pop(member, None)
                self._parking.put(member, parked=False)
            else:
                self._last[member] = state
        for job in jobs:
            self._owed.finish(job.member)
            self._running.discard(job.member)
            state = changes.strengths.get(job.member)
            self._parking.ended(job.member, state.failures if state else 0)
            self._owe(job.member)

    def _take(self, record: Record) -> tuple[Member, bool]:
        check_header_names(record)
        member = decode_group_key(record.key)
        if record.value is None:
            self._members.remove(member)
            self._comparisons.pop(member, None)
            return member, True
        self._members.put(member, decode(RestaurantSummary, record.value))
        return member, False

    def _known(self, member: Member) -> StrengthState:
        """Its state; remembered while it is in the table."""
        if (known := self._last.get(member)) is None:
            known = self._store.strength(*member) or StrengthState()
            if self._members.get(member):
                self._last[member] = known
        return known

    def _owe(self, member: Member) -> None:
        """Find out what is owed to a member. While its job runs nothing is: its end asks again."""
        if member in self._running:
            return
        basis, last, now = self._members.basis(member), self._known(member), self._shared.wall()
        due = self._rules.debounce.due(basis, last, now) if basis else None
        self._parking.put(member, parked=bool(basis and last.parked and last.tried == basis.version))
        if due is None:
            self._owed.settle(member)
        else:
            self._owed.owe(member, self._parking.not_before(member, due))

    def _start(self, member: Member) -> None:
        target, basis = self._members.get(member), self._members.basis(member)
        if target is None or basis is None:
            self._owed.finish(member)
            return
        self._running.add(member)
        job = _Job(member, basis, target, self._members.others(member))
        digest, known = self._comparisons.get(member, ("", ""))
        task = strengths.comparison_task(target, job.others)
        if task.claims and digest != basis.others:
            self._ask(job, task, lambda answer: self._compared(job, answer))
        else:
            self._ask_strength(job, known if task.claims else "")

    def _compared(self, job: _Job, answer: Answer) -> None:
        """Stage 1 is there: keep it, and go on to stage 2."""
        comparison = parse_comparison(answer.text)
        self._comparisons[job.member] = job.basis.others, comparison
        self._ask_strength(replace(job, cached=answer.cached), comparison)

    def _ask_strength(self, job: _Job, comparison: str) -> None:
        task = strengths.strength_task(job.target, job.others, comparison)
        job = replace(job, comparison=comparison)
        if not task.claims:
            self._finish(replace(job, answer=strengths.nothing_praised(job.target), cached=False))
            return

        def take(answer: Answer) -> None:
            parsed = read_strength(task, answer, self._shared.hooks)
            self._finish(replace(job, answer=parsed, cached=job.cached and answer.cached))

        self._ask(job, task, take)

    def _ask(self, job: _Job, task: Task, use: Callable[[Answer], None]) -> None:
        def answered(answer: Answer, _: Prepared) -> None:
            use(answer)

        def failed(fault: DeadLetter, _: int) -> None:
            self._finish(replace(job, fault=fault))

        group, restaurant = job.member
        name = f"{group}/{restaurant}/{task.kind}/{job.target.version}"
        self._shared.submit(Ask(task, restaurant, Rank.JOB, self._worker, answered, failed, name=name))

    def _finish(self, job: _Job) -> None:
        self._finished.append(job)
        self._worker.wake()

    def _is_newest(self, job: _Job) -> bool:
        current = self._members.get(job.member)
        return current is not None and current.version == job.target.version


def _made(basis: Basis, last: StrengthState, content: str) -> StrengthState:
    """What strengths that came from `basis` leave behind."""
    again = last.version == basis.version
    revision = last.revision + (last.content != content) if again else 0
    return StrengthState(basis.version, revision, basis.others, basis.changes, content)
