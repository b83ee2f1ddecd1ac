"""Looks at the whole member now and then, and tells what it sees: readiness, each partition, the engine's load."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from consumer.engines.contract import Load
from consumer.errors import ConfigError, Fenced, RetryLater
from consumer.hooks.bugs import log_bug
from consumer.hooks.events import Event, Hooks, What
from consumer.hooks.health import Health
from consumer.hooks.lanes import LaneView
from consumer.pipeline.ask import Ask
from consumer.pipeline.lane_views import Look, place_of, view
from consumer.pipeline.worker import Worker
from consumer.stream.record import Partition

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
LOOK_TICKS = 4
"""From one look at the partitions to the next: it goes over everything in flight."""
ENDS_SECONDS = 2.0
"""Between two questions to Kafka where the partitions end."""


class Member(Protocol):
    """What is looked at; see `Service`."""

    @property
    def workers(self) -> Mapping[Partition, Worker]:
        """Of each partition that is this member's."""

    def reasons(self) -> Sequence[str]:
        """Why records are not taken; empty where they are."""

    def pause_reason(self, worker: Worker) -> str:
        """Why a partition that is paused is."""

    def paused(self) -> frozenset[Partition]:
        """Partitions that are not fetched."""


class Ends(Protocol):
    """Who knows where partitions end: a member's `Source`."""

    async def ends(self, partitions: Sequence[Partition]) -> Mapping[Partition, tuple[int, int | None]]:
        """Of each, the end and the position. Raises RetryLater, Fenced."""


class Work(Protocol):
    """What is at work; see `Dispatcher`."""

    def tell(self) -> None:
        """Tell what has changed since batches began or ended."""

    def stages(self) -> Iterable[tuple[Ask, str]]:
        """Everything that is there, and where."""


@dataclass(slots=True)
class EngineLoad:
    """Tells what the engine says of its load, each statement once."""

    load: Callable[[], Load | None]
    hooks: Hooks
    _number: int = -1
    _preemptions: int = field(default=0)

    def tell(self) -> None:
        """Preemptions are counted over the engine's restarts: a lower number is a new engine's."""
        load = self.load()
        if load is None or load.number == self._number:
            return
        more = load.preemptions - (self._preemptions if load.number > self._number else 0)
        self._number, self._preemptions = load.number, load.preemptions
        self.hooks(Event(What.ENGINE_LOAD, count=load.waiting, ratio=load.cache_usage, values=(load.running,)))
        if more > 0:
            self.hooks(Event(What.PREEMPTED, count=more))


class Watch:
    """Never fails, and holds nobody up: what cannot be found out now stays as it was."""

    def __init__(
        self,
        member: Member,
        work: Work,
        engine: EngineLoad,
        health: Health,
        hooks: Hooks,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._member, self._work, self._engine = member, work, engine
        self._health, self._hooks, self._clock, self._wall = health, hooks, clock, wall
        self._ends: Mapping[Partition, tuple[int, int | None]] = {}
        self._lagging: dict[Partition, float] = {}
        """Since when records are known to be there that were not fetched."""

    async def run(self, source: Ends) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tick(), name="tick")
            tasks.create_task(self._ask_ends(source), name="ends")

    async def _tick(self) -> None:
        due, tick = self._clock(), 0
        while True:
            await asyncio.sleep(max(0.0, due - self._clock()))
            now = self._clock()
            self._health.ticked(max(0.0, now - due))
            due, tick = max(due + TICK_SECONDS, now), tick + 1
            try:
                self.look(partitions=tick % LOOK_TICKS == 0)
            except Exception as error:  # noqa: BLE001 - nothing that only looks may stop a record
                log_bug(log, "a look at the member failed", error)

    def look(self, *, partitions: bool) -> None:
        """Tell of it now; of each partition only if asked to."""
        self._health.not_ready(*self._member.reasons())
        self._work.tell()
        self._engine.tell()
        if partitions:
            self._hooks(Event(What.LANES, lanes=self.views()))

    def views(self) -> Sequence[LaneView]:
        """Every partition as it is now."""
        workers = self._member.workers
        paused, stages = self._member.paused(), self._stages(workers.values())
        found: list[LaneView] = []
        for partition, worker in workers.items():
            end, position = self._ends.get(partition, (None, None))
            look = Look(
                now=self._clock(),
                wall=self._wall(),
                paused=self._member.pause_reason(worker) if partition in paused else "",
                end=end,
                position=position,
                lagging_since=self._lagging.get(partition),
                stages=stages,
            )
            found.append(view(worker, look))
        self._note_lagging(found)
        return found

    def _stages(self, workers: Iterable[Worker]) -> Mapping[tuple[str, int, int], str]:
        """Where the oldest record of each partition is."""
        wanted = {place for worker in workers if (place := place_of(worker))}
        found = ((ask.record, stage) for ask, stage in self._work.stages() if ask.record) if wanted else ()
        return {
            key: stage for record, stage in found if (key := (record.topic, record.partition, record.offset)) in wanted
        }

    def _note_lagging(self, views: Sequence[LaneView]) -> None:
        unfetched = {Partition(one.topic, one.partition) for one in views if one.lag and not one.in_flight}
        now = self._clock()
        self._lagging = {partition: self._lagging.get(partition, now) for partition in unfetched}

    async def _ask_ends(self, source: Ends) -> None:
        while True:
            try:
                self._ends = await source.ends(list(self._member.workers))
            except (RetryLater, Fenced, ConfigError) as error:
                log.debug("the partitions' ends are not known now", extra={"error": str(error)})
            except Exception as error:  # noqa: BLE001 - as above
                log_bug(log, "the partitions' ends could not be read", error)
            await asyncio.sleep(ENDS_SECONDS)
