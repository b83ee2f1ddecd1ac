"""The service: one TaskGroup that owns every task, a poll loop that never waits for work."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from consumer.hooks.events import Event, Hooks, What
from consumer.hooks.health import Health
from consumer.kafka.publisher import Publishers
from consumer.kafka.source import Source
from consumer.pipeline.dispatch import Dispatcher
from consumer.pipeline.publish_gate import PublishGate
from consumer.pipeline.supervisor import Supervisor
from consumer.pipeline.watching import Watch
from consumer.pipeline.worker import Worker
from consumer.state_dir import StateDirectory
from consumer.stream.backpressure import LaneFill, WaterMarks, decide
from consumer.stream.poll_size import PollSize
from consumer.stream.record import Partition, Record

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
END_SECONDS = 5.0
"""For workers that were cancelled to let go of their producers."""

REJOIN_SECONDS = 1.0
"""Between leaving the group after being fenced and joining it again."""

MakeWorkers = Callable[[Sequence[Partition], int], Sequence[Worker]]
"""A worker for each partition of a new assignment (all that the member has now) in a generation of the group."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long the service may take to end; seconds."""

    drain: float
    """For committing what is done, on revocation and stop."""
    shutdown: float
    """For the whole stop."""


class Service:
    """Runs until `stop` is called, or something fails that waiting cannot help."""

    def __init__(
        self,
        supervisor: Supervisor,
        dispatcher: Dispatcher,
        marks: WaterMarks,
        health: Health,
        hooks: Hooks,
        bounds: Bounds,
        *,
        directory: StateDirectory,
        gate: PublishGate,
    ) -> None:
        self._gate, self._poll_size = gate, PollSize(marks.poll_records)
        self._phase = "starting"
        self._stopped = False
        """Whether too many records fail for more to be taken."""
        self._supervisor, self._dispatcher, self._marks = supervisor, dispatcher, marks
        self._health, self._hooks, self._bounds, self._directory = health, hooks, bounds, directory
        self.workers: dict[Partition, Worker] = {}
        self._runs: dict[Worker, asyncio.Task[None]] = {}
        self._stopping, self._over = asyncio.Event(), asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None

    def join(self, source: Source, publishers: Publishers, make_workers: MakeWorkers, watch: Watch) -> None:
        """Say whom to work with: they know this service as their assignment's owner, and so come after it."""
        self._source, self._publishers, self._make_workers = source, publishers, make_workers
        self._watch = watch

    def stop(self) -> None:
        """End gracefully: commit what is done, leave the group. Callable from a signal."""
        self._stopping.set()

    async def run(self) -> None:
        """Raises ConfigError or EngineDown where waiting cannot help; what is not committed stays with Kafka."""
        watching = asyncio.get_running_loop().create_task(self._watch.run(self._source), name="watch")
        try:
            self._directory.open()
            if not await self._started():
                return
            await self._publishers.start()
            await self._source.start()
            self._phase = ""
            await self._work()
        finally:
            self._phase = "stopping"
            watching.cancel()  # it never fails: a TaskGroup would wrap what the others raise
            await asyncio.wait({watching}, timeout=END_SECONDS)
            await self._end()

    def fenced(self) -> None:
        """Another member owns a partition of ours: all lanes close, the member leaves the group and joins it anew."""
        self._over.set()

    def assigned(self, partitions: Sequence[Partition], generation: int) -> None:
        """Partitions are this member's: a worker for each. They are paused until it has opened its lane."""
        if self._tasks is None or self._stopping.is_set() or self._over.is_set():
            return
        for worker in self._make_workers(partitions, generation):
            self.workers[worker.partition] = worker
            name = f"{worker.partition.topic}/{worker.partition.partition}"
            self._runs[worker] = self._tasks.create_task(worker.run(), name=name)
        self._hooks(Event(What.ASSIGNED, count=len(partitions)))

    async def revoked(self, partitions: Sequence[Partition]) -> None:
        """Give partitions up: commit what is done, within bounds."""
        leaving = self._leaving(partitions)
        await asyncio.gather(*(worker.drain(self._bounds.drain) for worker in leaving))
        await self._end_workers(leaving)

    async def lost(self, partitions: Sequence[Partition]) -> None:
        """Others own these partitions, or will soon: commit nothing."""
        leaving = self._leaving(partitions)
        for worker in leaving:
            worker.abandon()
            self._hooks(Event(What.LOST, *worker.partition))
        await self._end_workers(leaving)

    def _leaving(self, partitions: Sequence[Partition]) -> list[Worker]:
        return [worker for p in partitions if (worker := self.workers.pop(p, None))]

    async def _end_workers(self, leaving: Sequence[Worker]) -> None:
        runs = [self._runs.pop(worker) for worker in leaving]
        for run in runs:
            run.cancel()  # one that has ended does not notice
        self._dispatcher.forget_closed()
        if runs:
            await asyncio.wait(runs, timeout=END_SECONDS)

    async def _started(self) -> bool:
        """Wait until the engine is up, before partitions are taken from members that could work; False when stopped."""
        async with asyncio.TaskGroup() as tasks:
            starting = tasks.create_task(self._supervisor.start(), name="engine")
            stopping = tasks.create_task(self._stopping.wait(), name="stop")
            while not starting.done() and not stopping.done():
                self._health.polled()
                await asyncio.wait({starting, stopping}, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            starting.cancel()
            stopping.cancel()
        return not self._stopping.is_set()

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as self._tasks:
            background = [self._tasks.create_task(self._supervisor.run(), name="supervise")]
            try:
                await self._be_member(self._tasks)
            finally:
                for task in background:
                    task.cancel()

    async def _be_member(self, tasks: asyncio.TaskGroup) -> None:
        """Until stopped, through one membership after another: each ends when another member has fenced a lane."""
        while True:
            await self._poll(tasks)
            if self._stopping.is_set():
                await self.revoked(list(self.workers))
                return
            log.warning("another member owns a partition of ours: leaving the group to join it anew")
            await self.lost(list(self.workers))
            await self._source.stop()
            await asyncio.sleep(REJOIN_SECONDS)
            self._over.clear()
            await self._source.start()

    async def _poll(self, tasks: asyncio.TaskGroup) -> None:
        """Poll and offer, with no await between a poll and its offers. Pauses never stop the polling.

        A poll blocks through a rebalance, however long others take: a stop does not wait for it.
        """
        ends = [tasks.create_task(event.wait(), name="end") for event in (self._stopping, self._over)]
        try:
            await self._poll_until(tasks, ends)
        finally:
            for end in ends:
                end.cancel()

    async def _poll_until(self, tasks: asyncio.TaskGroup, ends: Sequence["asyncio.Task[bool]"]) -> None:
        loop = asyncio.get_running_loop()
        while not any(end.done() for end in ends):
            poll = tasks.create_task(self._source.poll(POLL_SECONDS, self._poll_size.records), name="poll")
            await asyncio.wait({poll, *ends}, return_when=asyncio.FIRST_COMPLETED)
            if not poll.done():
                poll.cancel()  # never otherwise: it switches off checks of aiokafka's, needed until the stop
                return
            began = loop.time()
            self._offer(polled := poll.result())
            took = loop.time() - began
            self._poll_size.took(sum(map(len, polled.values())), took)
            self._press()
            self._health.polled()
            await asyncio.sleep(min(took, POLL_SECONDS))  # half of the loop is for answering what was taken in

    def _offer(self, polled: Mapping[Partition, Sequence[Record]]) -> None:
        for partition, records in polled.items():
            if worker := self.workers.get(partition):
                self._hooks(Event(What.RECEIVED, partition.topic, partition.partition, count=len(records)))
                if (back_to := worker.receive(records)) is not None:
                    self._source.pause([partition])
                    self._source.seek(partition, back_to)
        for worker in self.workers.values():
            worker.offered()

    def _press(self) -> None:
        """Topic by topic: a backlog of reviews that waits for the engine must not keep requests out."""
        paused = self._source.paused()
        fills = {p: w.fill() for p, w in self.workers.items() if w.reading and not w.closed}
        self._stopped = stopped = self._is_stopped(fills.values())
        for topic in {partition.topic for partition in fills}:
            lanes = {p: fill for p, fill in fills.items() if p.topic == topic}
            waiting = max(self._dispatcher.waiting_tokens(topic), self._marks.high_tokens if stopped else 0)
            todo = decide(self._marks, lanes, paused, waiting)
            self._source.pause(tuple(todo.pause))
            self._source.resume(tuple(todo.resume))

    def _is_stopped(self, lanes: Iterable[LaneFill]) -> bool:
        """Too many records fail by our fault: every lane pauses."""
        return self._dispatcher.takes_no_more or self._gate.takes_no_more(sum(lane.records for lane in lanes))

    def paused(self) -> frozenset[Partition]:
        """Partitions that are not fetched."""
        return self._source.paused()

    def pause_reason(self, worker: Worker) -> str:
        """Why a partition that is paused is: what keeps it from going on, which need not be what paused it."""
        if worker.refusal or not worker.reading:
            return "refused" if worker.refusal else "opening"
        if self._stopped:
            return "stopped"
        return "busy" if self._marks.may_resume(worker.fill(), 0) else "full"

    def reasons(self) -> Sequence[str]:
        """Why records are not taken; empty where they are."""
        if self._phase:
            return [self._phase, *(self._engine_reasons() if self._phase == "starting" else ())]
        opening = [
            f"{p.topic}/{p.partition} is refused: {w.refusal}" if w.refusal else f"{p.topic}/{p.partition} is opening"
            for p, w in self.workers.items()
            if not w.restored
        ]
        reasons = [] if self.workers else ["no partition is assigned"]
        return [*reasons, *opening, *self._publish_reasons(), *self._engine_reasons()]

    def _publish_reasons(self) -> list[str]:
        refused = [f"publishing: {self._gate.reason}"] if self._gate.reason else []
        failing = (f"{p.topic}/{p.partition} cannot commit: {w.trouble}" for p, w in self.workers.items() if w.trouble)
        return [*refused, *failing]

    def _engine_reasons(self) -> list[str]:
        engine = self._supervisor.health()
        return [] if engine.ready else [f"engine: {engine.reason}"]

    async def _end(self) -> None:
        """Bounded: an end that hangs would cost the group a session time-out. All lanes are drained by now."""
        self._health.not_ready("stopping")
        try:
            async with asyncio.timeout(self._bounds.shutdown):
                await asyncio.gather(self._source.stop(), self._publishers.stop(), self._supervisor.stop())
        except TimeoutError:
            log.warning("the stop took too long and was cut short")
        finally:
            self._directory.close()
