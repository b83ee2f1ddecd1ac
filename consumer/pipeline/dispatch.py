"""From tasks to answers: preparing, batching, admission, the engine, and another try where one may help."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from consumer.analysis.task import Kind
from consumer.engines.contract import Answer, Engine, Fault
from consumer.errors import DeadLetter, EngineDown, EngineUnavailable, Expired, RetryLater
from consumer.hooks.bugs import log_bug
from consumer.hooks.events import Event, Hooks, What
from consumer.pipeline.ask import Ask as Ask
from consumer.pipeline.ask import Owner as Owner
from consumer.pipeline.preparing import Preparing
from consumer.pipeline.quarantine import Quarantine
from consumer.pipeline.running import Running
from consumer.pipeline.settling import Settling
from consumer.stream.admission import Admission
from consumer.stream.batcher import Batch, Batcher
from consumer.stream.breaker import Breaker, BreakerRules
from consumer.stream.outage import Outage
from consumer.stream.retry import RetryPolicy
from consumer.stream.work import Item, is_late

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.25
"""While something waits for room: the engine's load may have changed though nothing was answered."""
PREPARE_CHUNK = 64
"""Tasks tokenised in one go: enough to be worth the thread, few enough that a batch can leave meanwhile."""


@dataclass(frozen=True, slots=True)
class DispatchRules:
    """How items are sent."""

    budget: int
    """Tokens of a micro-batch."""
    timeout: float
    """Seconds a batch may take; what is unanswered then is tried again."""
    retry: RetryPolicy
    breaker: BreakerRules


@dataclass(frozen=True, slots=True)
class Death:
    """How the engine ended. What was in flight waits again, under suspicion."""

    error: EngineDown
    in_flight: int
    answered: bool
    """Whether it had answered anything since `run` was called."""


class Dispatcher:
    """Owns the batcher and the permits. What it holds is bounded by the lanes that ask."""

    def __init__(
        self,
        engine: Engine,
        batcher: Batcher[Ask],
        admission: Admission,
        rules: DispatchRules,
        quarantine: Quarantine,
        hooks: Hooks,
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._engine, self._batcher, self._admission = engine, batcher, admission
        self._rules, self._quarantine, self._hooks = rules, quarantine, hooks
        self._clock, self._random = clock, random
        self._new: list[Ask] = []
        self._breaker = Breaker(rules.breaker)
        self._settling = Settling(rules.retry, self._breaker, hooks, clock=clock, random=random)
        self._preparing = Preparing(engine, quarantine, rules.budget, self._settling.fail)
        self._prepare_wake, self._wake = asyncio.Event(), asyncio.Event()
        self._outage = Outage(rules.retry)
        self._running: dict[Running, asyncio.Task[None]] = {}
        self._trying = False
        self._stranded: list[Ask] = []
        """What was in flight when it was cut short."""
        self._answered = False
        self._error: EngineDown | None = None
        self._dead = asyncio.Event()

    def submit(self, ask: Ask) -> None:
        """Take a question. Its answer, or its failure, comes by callback."""
        self._new.append(ask)
        self._prepare_wake.set()

    def waiting_tokens(self, topic: str) -> int:
        """Tokens of a topic's records that wait for a batch."""
        return self._batcher.tokens_of(topic)

    def tell(self) -> None:
        """What has changed since batches began or ended: long ones are told of while they run."""
        for running in self._running:
            self._tell_heard(running)
        self._tell_load()

    def stages(self) -> Iterator[tuple[Ask, str]]:
        """Everything that is here, and where."""
        yield from ((ask, "new") for ask in self._new)
        yield from ((ask, "preparing") for ask in self._preparing)
        yield from ((item.payload, "waiting") for item in self._batcher)
        yield from ((ask, "engine") for running in self._running for ask in running.asks())
        yield from self._settling
        yield from ((ask, "suspect") for ask in self._quarantine)

    @property
    def refusal(self) -> str:
        """Why the engine takes nothing for now; empty where it does."""
        return self._outage.reason or self._breaker.reason

    @property
    def takes_no_more(self) -> bool:
        """Whether too many records failed by our fault: what is here waits, and one of it will be the next probe."""
        waits = len(self._batcher) or self._new or self._running or self._preparing.busy or self._settling.waits
        return bool(self._breaker.reason and (waits or self._clock() < self._breaker.until))

    async def run(self) -> Death:
        """Work until cancelled, or until the engine dies. What was in flight then waits for the next `run`."""
        self._answered, self._trying, self._error = False, False, None
        self._prepare_wake.set()
        self._dead.clear()
        async with asyncio.TaskGroup() as tasks:
            work = [
                self._watched(tasks, self._prepare, "prepare"),
                self._watched(tasks, partial(self._send_batches, tasks), "send"),
            ]
            await self._dead.wait()
            for task in (*work, *self._running.values()):  # their calls fail too, or never return
                task.cancel()
        return self._died(self._error or EngineDown("unknown"))

    def _watched(
        self, tasks: asyncio.TaskGroup, work: Callable[[], Awaitable[None]], name: str
    ) -> "asyncio.Task[None]":
        """A task that ends well when the engine dies, and tells of it."""

        async def watch() -> None:
            try:
                await work()
            except EngineDown as error:
                self._error = self._error or error
                self._dead.set()

        return tasks.create_task(watch(), name=name)

    def _died(self, error: EngineDown) -> Death:
        """Nothing runs any more: everything in flight is suspected, and waits."""
        stranded, self._stranded = [*self._preparing.take_stranded(), *self._stranded], []
        self._quarantine.died([ask.name for ask in stranded])
        for ask in stranded:
            self._enqueue(ask)
        return Death(error, len({ask.name for ask in stranded}), self._answered)

    async def _prepare(self) -> None:
        """Tokenise what was submitted, in order, in chunks; suspects have the engine to themselves."""
        while True:
            await self._prepare_wake.wait()
            self._prepare_wake.clear()
            while self._new and not (self._trying or self._quarantine.waits or self._dead.is_set()):
                chunk, self._new = self._new[:PREPARE_CHUNK], self._new[PREPARE_CHUNK:]
                wanted = [ask for ask in chunk if self._is_wanted(ask) and not self._quarantine.takes(ask)]
                await self._preparing.prepare(wanted, self._enqueue, self._refused_at)
                self._wake.set()
                if not self._outage.admits(self._clock(), 0):
                    await asyncio.sleep(self._outage.until - self._clock())

    def _enqueue(self, ask: Ask) -> None:
        """Let it wait for its batch, or for its trial."""
        if ask.owner.closed or self._quarantine.takes(ask):
            return
        if ask.prepared is None:
            self.submit(ask)
            return
        self._pack(ask, self._batcher)

    def _pack(self, ask: Ask, batcher: Batcher[Ask]) -> None:
        if (its := ask.prepared) is None or ask.owner.closed:
            return
        item = Item(ask, ask.restaurant, ask.rank, its.own_tokens, its.prefix, its.prefix_tokens, ask.budget, ask.feed)
        if ask.alone and batcher is self._batcher:
            self._settling.apart.failed([item], self._clock())
            return
        try:
            batcher.add(item, self._clock())
        except ValueError as error:  # heavier than a batch may be: the engine did not keep its contract
            self._settling.fail(ask, DeadLetter("internal_error", str(error)))

    def _is_wanted(self, ask: Ask) -> bool:
        """Whether anybody still waits for its answer. Who asked is told of a deadline that has passed."""
        if ask.owner.closed:
            return False
        if is_late(ask.deadline, self._clock()):
            ask.failed(Expired(), ask.attempts)
            return False
        return True

    def forget_closed(self) -> None:
        """Drop what waits for owners that have closed: their records are another member's work by now."""
        self._new = [ask for ask in self._new if not ask.owner.closed]
        self._batcher.discard(lambda item: item.payload.owner.closed)
        self._settling.discard(lambda ask: ask.owner.closed)
        self._quarantine.discard(lambda ask: ask.owner.closed)

    async def _send_batches(self, tasks: asyncio.TaskGroup) -> None:
        while not self._dead.is_set():
            self._wake.clear()
            now = self._clock()
            for ask in self._settling.pop_due():
                self._enqueue(ask)
            if self._quarantine.waits:
                await self._try_suspects(tasks)
                continue
            self._send(tasks, self._batcher, now)
            self._hooks(Event(What.WAITING, count=len(self._batcher)))
            await self._until(self._next_due(now))

    def _send(self, tasks: asyncio.TaskGroup, batcher: Batcher[Ask], now: float, *, flush: bool = False) -> None:
        """Start batches while there is room for one."""
        while (
            not self._dead.is_set()
            and self._admits(now)
            and (room := self._admission.room())
            and (batch := self._next_batch(batcher, now, room, flush=flush))
        ):
            if wanted := batch.without(lambda item: not self._is_wanted(item.payload)):
                self._start(tasks, wanted, now)

    def _admits(self, now: float) -> bool:
        """Whether anything may be sent."""
        running = len(self._running)
        return self._outage.admits(now, running) and self._breaker.admits(now, running)

    def _next_batch(self, batcher: Batcher[Ask], now: float, room: int, *, flush: bool) -> Batch[Ask] | None:
        """What failed together goes first, and apart. A probe is one item."""
        apart, probing = self._settling.apart, bool(self._breaker.reason)
        if batcher is self._batcher and not (probing and len(batcher)) and apart.is_due(now):
            return apart.take(now, room)
        return batcher.take(now, room, max_items=1 if probing else None, flush=flush or probing)

    def _start(self, tasks: asyncio.TaskGroup, batch: Batch[Ask], now: float) -> None:
        flight = self._quarantine.begin([item.payload for item in batch.items])
        running = Running(batch, self._admission.admit(batch.tokens), now, flight)
        self._running[running] = task = self._watched(tasks, partial(self._run_batch, running), "batch")
        task.add_done_callback(lambda _: self._end(running))  # also where it is cancelled before its first step
        self._tell_start(running)

    async def _try_suspects(self, tasks: asyncio.TaskGroup) -> None:
        """One group after the other, each with nothing else in flight, so that a death tells."""
        self._trying = True
        while self._running or self._preparing.busy:
            self._wake.clear()
            await self._wake.wait()
        while not self._dead.is_set() and (suspects := self._quarantine.next_trial()):
            await self._try(suspects, tasks)
            self._quarantine.end_trial()
        self._trying = False
        self._prepare_wake.set()

    async def _try(self, suspects: Sequence[Ask], tasks: asyncio.TaskGroup) -> None:
        """Returns when the engine has outlived them, or has refused them. Where it dies, they wait again."""
        batcher: Batcher[Ask] = Batcher(self._batcher.limits)
        for ask in suspects:
            self._pack(ask, batcher)
        try:
            await self._until_admitted()
            unprepared = [ask for ask in suspects if ask.prepared is None]
            await self._preparing.prepare(unprepared, partial(self._pack, batcher=batcher), self._refused_at)
            while len(batcher) or self._running:
                self._wake.clear()
                self._send(tasks, batcher, self._clock(), flush=True)
                if not self._running:  # refused for now: what is left waits until it answers again
                    break
                await self._wake.wait()
        finally:
            for item in batcher.discard(lambda _: True):
                self._enqueue(item.payload)

    async def _until_admitted(self) -> None:
        while not self._admits(self._clock()):
            self._wake.clear()
            await self._until(max(self._outage.until, self._breaker.until))

    def _next_due(self, now: float) -> float | None:
        """When time alone brings work. A batch that is due already waits for room, not for time."""
        batch = self._batcher.next_due()
        if batch is not None and batch <= now:
            batch = now + LOOK_SECONDS
        pauses = (stop.until for stop in (self._outage, self._breaker) if stop.reason)
        due = (self._settling.next_due(), batch, *pauses)
        return min((d for d in due if d is not None and d > now), default=None)

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

    async def _run_batch(self, running: Running) -> None:
        """Run to the end. What the engine leaves undelivered is tried again, or fails; EngineDown is raised."""
        deliver = partial(self._delivered, running)
        try:
            async with asyncio.timeout(self._rules.timeout):
                await self._engine.run(running.prepared(), deliver)
        except EngineUnavailable as error:
            self._refused(error)
            self._take_back(running)
        except EngineDown:
            raise
        except TimeoutError:
            self._fail_open(running, RetryLater(f"no answer within {self._rules.timeout:g} s", "engine_timeout"))
        except Exception as error:  # noqa: BLE001 - logged without its words
            log_bug(log, "the engine failed a batch", error)
            self._fail_open(running, RetryLater(f"the engine raised {type(error).__name__}"))
        else:
            self._fail_open(running, RetryLater("the engine left it unanswered"))
        finally:
            self._end(running)

    def _end(self, running: Running) -> None:
        if self._running.pop(running, None) is None:
            return
        running.permit.close()
        if running.open:  # cut short: what the engine was at
            self._stranded.extend(running.asks())
        else:
            self._quarantine.end(running.flight)
        self._tell_heard(running)
        self._hooks(Event(What.BATCH_ENDED, seconds=self._clock() - running.started, batch=running.flight))
        self._tell_load()
        self._wake.set()

    def _refused(self, error: EngineUnavailable) -> None:
        """Send nothing for a while. What is in flight goes on, what came back is no suspect and has lost no attempt."""
        if not self._outage.reason:
            self._hooks(Event(What.ENGINE_DOWN, reason="unavailable", detail=str(error)))
        self._outage.refused(self._clock(), str(error), error.retry_after, self._random())

    def _refused_at(self, error: EngineUnavailable, left: Sequence[Ask]) -> None:
        """The engine refuses to prepare these."""
        self._refused(error)
        for ask in left:
            self._enqueue(ask)

    def _take_back(self, running: Running) -> None:
        asks = running.asks()
        running.open.clear()
        for ask in asks:
            self._enqueue(ask)

    def _fail_open(self, running: Running, fault: RetryLater) -> None:
        """The batch has failed as a whole, for what is open of it. One alone is to blame, and stays alone."""
        items = running.items()
        if len(items) > 1:
            running.open.clear()
            self._settling.failed_together([item for item in items if not item.payload.owner.closed], fault)
            return
        for index in list(running.open):
            items[0].payload.alone = True
            self._deliver(running, index, fault)

    def _delivered(self, running: Running, index: int, outcome: Answer | Fault) -> None:
        """The engine has said something: it works, and has outlived this item."""
        self._answered = True
        self._quarantine.outlived(running.batch.items[index].payload)
        if self._outage.answered(self._clock()):
            self._hooks(Event(What.ENGINE_UP))
        self._deliver(running, index, outcome)

    def _deliver(self, running: Running, index: int, outcome: Answer | Fault) -> None:
        """Use one item's answer, and give its tokens back, the moment it arrives."""
        running.open.remove(index)
        item = running.batch.items[index]
        running.permit.give_back(item.own_tokens)
        self._wake.set()
        ask = item.payload
        running.hear(ask, outcome, self._clock())
        if not ask.owner.closed and ask.prepared:
            self._settling.settle(ask, ask.prepared, outcome)

    def _tell_start(self, running: Running) -> None:
        batch = running.batch
        records = [item.payload.record for item in batch.items]
        started = Event(What.BATCH_STARTED, reason=batch.reason, count=len(batch.items), values=(batch.tokens,))
        ratio = batch.tokens / self._rules.budget
        self._hooks(replace(started, ratio=ratio, records=records, batch=running.flight))
        for kind, items in _by_kind(batch.items).items():
            waits = [running.started - item.enqueued_at for item in items]
            records = [item.payload.record for item in items]
            self._hooks(Event(What.QUEUED, kind=kind, values=waits, records=records, batch=running.flight))
        self._tell_load()

    def _tell_heard(self, running: Running) -> None:
        for event in running.told():
            self._hooks(event)

    def _tell_load(self) -> None:
        admission = self._admission
        against = (admission.ceiling, admission.batches_running, admission.most_batches)
        self._hooks(Event(What.LOAD, count=admission.tokens_in_flight, values=against))


def _by_kind(items: Sequence[Item[Ask]]) -> Mapping[Kind, Sequence[Item[Ask]]]:
    found: defaultdict[Kind, list[Item[Ask]]] = defaultdict(list)
    for item in items:
        found[item.payload.task.kind].append(item)
    return found
