"""From tasks to answers: preparing, batching, admission, the engine, and another try where one may help."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from consumer.analysis.task import Task
from consumer.engines.contract import Answer, Engine, Fault, Prepared
from consumer.errors import DeadLetter, EngineDown, RetryLater
from consumer.hooks.events import Event, Hooks, What
from consumer.stream.admission import Admission, Permit
from consumer.stream.batcher import Batch, Batcher
from consumer.stream.retry import DelayQueue, GiveUp, RetryPolicy
from consumer.stream.work import Item, Rank

log = logging.getLogger(__name__)

PREPARE_CHUNK = 256
"""Tasks tokenised in one go: enough to be worth the thread, few enough that a batch can leave meanwhile."""


class Owner(Protocol):
    """Who asked. When it has closed, its questions are dropped and its answers ignored."""

    @property
    def closed(self) -> bool:
        """Whether nobody waits for the answers any more."""


@dataclass(slots=True, eq=False)
class Ask:
    """One question and what to do with its answer. The callbacks run on the event loop and do not wait."""

    task: Task
    restaurant: str
    rank: Rank
    owner: Owner
    answered: Callable[[Answer, Prepared], None]
    """May raise RetryLater (the answer is invalid: ask again) or DeadLetter."""
    failed: Callable[[DeadLetter, int], None]
    """For good, after so many attempts."""
    attempts: int = 0
    prepared: Prepared | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class DispatchRules:
    """How items are sent."""

    budget: int
    """Tokens of a micro-batch."""
    timeout: float
    """Seconds a batch may take; what is unanswered then is tried again."""
    retry: RetryPolicy


class Dispatcher:
    """Owns the batcher and the permits. What it holds is bounded by the lanes that ask."""

    def __init__(
        self,
        engine: Engine,
        batcher: Batcher[Ask],
        admission: Admission,
        rules: DispatchRules,
        hooks: Hooks,
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._engine, self._batcher, self._admission = engine, batcher, admission
        self._rules, self._hooks, self._clock, self._random = rules, hooks, clock, random
        self._new: list[Ask] = []
        self._delayed: DelayQueue[Ask] = DelayQueue()
        self._prepare_wake, self._wake = asyncio.Event(), asyncio.Event()

    def submit(self, ask: Ask) -> None:
        """Take a question. Its answer, or its failure, comes by callback."""
        self._new.append(ask)
        self._prepare_wake.set()

    @property
    def waiting_tokens(self) -> int:
        """Tokens that wait for a batch."""
        return self._batcher.tokens

    async def run(self) -> None:
        """Work until cancelled. Raises EngineDown when the engine died."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._prepare(), name="prepare")
            await self._send_batches(tasks)

    async def _prepare(self) -> None:
        """Tokenise what was submitted, in order, in chunks."""
        while True:
            await self._prepare_wake.wait()
            self._prepare_wake.clear()
            while self._new:
                chunk, self._new = self._new[:PREPARE_CHUNK], self._new[PREPARE_CHUNK:]
                wanted = [ask for ask in chunk if not ask.owner.closed]
                await self._prepare_chunk(wanted)
                self._wake.set()

    async def _prepare_chunk(self, asks: Sequence[Ask]) -> None:
        """All at once; one by one where that fails, so that the culprit is alone."""
        try:
            prepared = await self._engine.prepare([ask.task for ask in asks], self._rules.budget)
        except EngineDown:
            raise
        except Exception as error:
            if len(asks) == 1:
                log.exception("an item could not be prepared")
                asks[0].failed(DeadLetter("internal_error", type(error).__name__), 1)
                return
            for ask in asks:
                await self._prepare_chunk([ask])
            return
        for ask, its in zip(asks, prepared, strict=True):
            ask.prepared = its
            self._enqueue(ask)

    def _enqueue(self, ask: Ask) -> None:
        its = ask.prepared
        if its is None or ask.owner.closed:
            return
        item = Item(ask, ask.restaurant, ask.rank, its.own_tokens, its.prefix, its.prefix_tokens)
        try:
            self._batcher.add(item, self._clock())
        except ValueError as error:  # heavier than a batch may be: the engine did not keep its contract
            ask.failed(DeadLetter("internal_error", str(error)), ask.attempts + 1)

    def forget_closed(self) -> None:
        """Drop what waits for owners that have closed: their records are another member's work by now."""
        self._new = [ask for ask in self._new if not ask.owner.closed]
        self._batcher.discard(lambda item: item.payload.owner.closed)
        self._delayed.discard(lambda ask: ask.owner.closed)

    async def _send_batches(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            self._wake.clear()
            now = self._clock()
            for ask in self._delayed.pop_due(now):
                self._enqueue(ask)
            while (room := self._admission.room()) and (batch := self._batcher.take(now, room)):
                running = _Running(batch, self._admission.admit(batch.tokens), now)
                self._tell_start(running)
                tasks.create_task(self._run_batch(running), name="batch")
            self._hooks(Event(What.WAITING, count=len(self._batcher)))
            await self._until(self._next_due(now))

    def _next_due(self, now: float) -> float | None:
        """When time alone brings work. A batch that is due already waits for room, not for time."""
        batch = self._batcher.next_due()
        due = [self._delayed.next_due(), batch if batch is not None and batch > now else None]
        return min((d for d in due if d is not None), default=None)

    async def _until(self, due: float | None) -> None:
        """Wait until something came up, or the time has come."""
        if due is None:
            await self._wake.wait()
            return
        try:
            async with asyncio.timeout(max(0.0, due - self._clock())):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _run_batch(self, running: "_Running") -> None:
        """Run to the end. What the engine leaves undelivered is tried again, or fails; EngineDown is raised."""
        deliver = partial(self._deliver, running)
        try:
            async with asyncio.timeout(self._rules.timeout):
                await self._engine.run([p for item in running.batch.items if (p := item.payload.prepared)], deliver)
        except EngineDown:
            raise
        except TimeoutError:
            self._fail_open(running, RetryLater(f"no answer within {self._rules.timeout:g} s", "engine_timeout"))
        except Exception as error:
            log.exception("the engine failed a batch")
            self._fail_open(running, RetryLater(f"{type(error).__name__}: {error}"))
        else:
            self._fail_open(running, RetryLater("the engine left it unanswered"))
        finally:
            running.permit.close()
            self._hooks(Event(What.BATCH_ENDED, seconds=self._clock() - running.started))
            self._tell_load()
            self._wake.set()

    def _fail_open(self, running: "_Running", fault: Fault) -> None:
        for index in sorted(running.open):
            self._deliver(running, index, fault)

    def _deliver(self, running: "_Running", index: int, outcome: Answer | Fault) -> None:
        """Use one item's answer, and give its tokens back, the moment it arrives."""
        running.open.remove(index)
        item = running.batch.items[index]
        running.permit.give_back(item.own_tokens)
        self._wake.set()
        ask = item.payload
        self._hooks(Event(What.ANSWERED, kind=ask.task.kind, seconds=self._clock() - running.started))
        if not ask.owner.closed and ask.prepared:
            self._settle(ask, ask.prepared, outcome)

    def _settle(self, ask: Ask, prepared: Prepared, outcome: Answer | Fault) -> None:
        if isinstance(outcome, RetryLater | DeadLetter):
            self._fail(ask, outcome)
            return
        try:
            ask.answered(outcome, prepared)
        except (RetryLater, DeadLetter) as fault:
            self._fail(ask, fault)
        except Exception as error:  # a bug of ours must not leave its record unfinished for ever
            log.exception("an answer could not be used")
            ask.failed(DeadLetter("internal_error", type(error).__name__), ask.attempts + 1)

    def _fail(self, ask: Ask, fault: Fault) -> None:
        if isinstance(fault, RetryLater):
            self._try_again(ask, fault)
        else:
            ask.failed(fault, ask.attempts + 1)

    def _try_again(self, ask: Ask, fault: RetryLater) -> None:
        ask.attempts += 1
        decision = self._rules.retry.decide(ask.attempts, self._random())
        if isinstance(decision, GiveUp):
            ask.failed(DeadLetter(fault.reason, str(fault)), ask.attempts)
            return
        self._hooks(Event(What.RETRY, kind=ask.task.kind, detail=str(fault)))
        self._delayed.push(ask, self._clock() + decision.seconds)
        self._wake.set()

    def _tell_start(self, running: "_Running") -> None:
        batch = running.batch
        for item in batch.items:
            waited = running.started - item.enqueued_at
            self._hooks(Event(What.QUEUED, kind=item.payload.task.kind, seconds=waited))
        ratio = batch.tokens / self._rules.budget
        self._hooks(Event(What.BATCH_STARTED, reason=batch.reason, count=len(batch.items), ratio=ratio))
        self._tell_load()

    def _tell_load(self) -> None:
        tokens = self._admission.tokens_in_flight
        self._hooks(Event(What.LOAD, count=tokens, ratio=tokens / self._admission.ceiling))
        self._hooks(Event(What.BATCHES, count=self._admission.batches_running))


@dataclass(slots=True, eq=False)
class _Running:
    """One micro-batch in the engine, and which of its items are undelivered."""

    batch: Batch[Ask]
    permit: Permit
    started: float
    open: set[int] = field(init=False)

    def __post_init__(self) -> None:
        self.open = set(range(len(self.batch.items)))
