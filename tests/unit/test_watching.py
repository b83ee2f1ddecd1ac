"""A look at the member: each partition as it is, why it is paused, why records are not taken."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from consumer.engines.contract import Health as EngineHealth
from consumer.engines.contract import Load
from consumer.errors import RetryLater
from consumer.hooks.events import Event, Hooks, What
from consumer.hooks.health import Health
from consumer.pipeline.lane_views import Look, view
from consumer.pipeline.service import Bounds, Service
from consumer.pipeline.watching import EngineLoad, Watch
from consumer.pipeline.worker import Assigned, Keeps, Worker
from consumer.store.memory import MemoryStore
from consumer.stream.backpressure import WaterMarks
from consumer.stream.lane import Lane
from consumer.stream.record import Partition
from tests.unit.records import FakeRecord

PLACE = Partition("t", 0)
STAMP = 1_000_000
"""Milliseconds: the wall clock of these tests shows 1,010 s."""


class World:
    """A service whose parts say what a test wants, and one that looks at it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.told: list[Event] = []
        self.stages: list[tuple[Any, str]] = []
        self.paused: set[Partition] = set()
        self.engine_reason = self.refused = ""
        self.gate = SimpleNamespace(reason="")
        self.health = Health(lambda: self.now, 60)
        hooks = Hooks([self.told.append])
        supervisor: Any = SimpleNamespace(health=lambda: EngineHealth(not self.engine_reason, self.engine_reason))
        dispatcher: Any = SimpleNamespace(stages=lambda: self.stages, tell=lambda: None)
        gate: Any = self.gate
        marks = WaterMarks.halving(max_records=4, max_bytes=1000, max_tokens=100, poll_records=2)
        bounds = Bounds(1, 1)
        directory: Any = SimpleNamespace()
        self.service = Service(
            supervisor,
            dispatcher,
            marks,
            self.health,
            hooks,
            bounds,
            directory=directory,
            gate=gate,
        )
        source: Any = SimpleNamespace(paused=lambda: frozenset(self.paused), ends=self._ends)
        self.ends: Mapping[Partition, tuple[int, int | None]] | None = {}
        self.load: Load | None = None
        load = EngineLoad(lambda: self.load, hooks)
        self.watch = Watch(
            self.service, dispatcher, load, self.health, hooks, clock=lambda: self.now, wall=lambda: self.now + 910
        )
        self.service.join(source, SimpleNamespace(), lambda _p, _g: [], self.watch)

    async def _ends(self, _: Sequence[Partition]) -> Mapping[Partition, tuple[int, int | None]]:
        if self.ends is None:
            raise RetryLater("no broker")
        return self.ends

    def worker(self, *, opened: bool = True) -> Worker:
        """A partition of this member's; open: from offset 10, and the topic ends at 20."""
        shared = SimpleNamespace(hooks=lambda _: None, clock=lambda: self.now, wall=lambda: self.now + 910)
        ground: Any = SimpleNamespace(
            source=None, shared=shared, publishers=SimpleNamespace(publisher=lambda _lane, _generation: None)
        )
        made: Any = None
        worker = Worker(Assigned(PLACE, 1, 1, keeps=Keeps.STATE), ground, MemoryStore, made)
        if opened:
            worker.lane, worker.restored, worker.reading = Lane(10, 4, 1000), True, True
        self.service.workers[PLACE] = worker
        return worker

    def working(self) -> None:
        """Past the start."""
        self.service._phase = ""


def _look(**known: Any) -> Look:
    return replace(Look(100.0, 1010.0, "", 20, 10, None, {}), **known)


def test_a_partition_is_seen_from_the_inside() -> None:
    """What is committed, what is in flight, and where the oldest of it is."""
    world = World()
    lane = world.worker().lane
    assert lane is not None
    lane.offer(10, 7, STAMP, now=95.0)
    lane.offer(11, 8, STAMP + 5000, now=98.0)
    seen = view(world.service.workers[PLACE], _look(stages={("t", 0, 10): "engine"}))
    assert (seen.state, seen.committed, seen.end, seen.lag) == ("open", 10, 20, 10)
    assert (seen.in_flight, seen.in_flight_bytes, seen.lag_seconds) == (2, 15, 10.0)
    assert (seen.oldest_offset, seen.oldest_age, seen.oldest_stage, seen.unanswered_age) == (10, 5.0, "engine", 5.0)
    lane.finish(10, "done", 99.0)
    seen = view(world.service.workers[PLACE], _look())
    assert (seen.oldest_stage, seen.oldest_age, seen.unanswered_age) == ("publish", 5.0, 2.0)


def test_markers_at_the_end_are_no_lag() -> None:
    """After a transaction the last offset is no record; the position is behind it."""
    world = World()
    worker = world.worker()
    assert view(worker, _look(end=11, position=10)).lag == 1
    assert view(worker, _look(end=11, position=11)).lag == 0


def test_an_end_that_was_heard_before_the_last_records_is_behind() -> None:
    """It is asked for every two seconds: what was taken since is there for certain."""
    world = World()
    lane = world.worker().lane
    assert lane is not None
    for offset in (10, 11, 12):
        lane.offer(offset, 1, STAMP)
    assert view(world.service.workers[PLACE], _look(end=11, position=11)).lag == 3


def test_lag_that_was_not_fetched_has_the_age_that_is_known() -> None:
    """A partition that stays paused does not look young: it grows from when it was first seen."""
    world = World()
    worker = world.worker()
    world.watch._ends = {PLACE: (20, 10)}
    assert [one.lag_seconds for one in world.watch.views()] == [0.0]
    world.now += 30
    (seen,) = world.watch.views()
    assert (seen.lag, seen.lag_seconds) == (10, 30.0)
    assert worker.lane is not None
    worker.lane.offer(10, 1, STAMP)
    assert world.watch.views()[0].lag_seconds == 40.0  # by its timestamp
    worker.lane.finish(10, "done")
    worker.lane.retire(20)
    world.watch.views()
    world.watch._ends = {PLACE: (30, 20)}
    assert world.watch.views()[0].lag_seconds == 0.0


def test_one_that_opens_is_told_of_as_far_as_it_is_known() -> None:
    """First nothing, then what is committed."""
    worker = World().worker(opened=False)
    seen = view(worker, _look())
    assert (seen.state, seen.committed, seen.lag, seen.in_flight) == ("opening", None, None, 0)
    worker.start = 15
    assert view(worker, _look()).lag == 5
    worker.refusal = "two marks"
    assert (view(worker, _look()).state, view(worker, _look()).trouble) == ("refused", "two marks")
    worker.closed = True
    worker.refusal = ""
    assert view(worker, _look()).state == "closed"


def test_the_stage_of_the_oldest_is_looked_up_where_it_is() -> None:
    """In the dispatcher, by its place; what others ask does not matter."""
    world = World()
    lane = world.worker().lane
    assert lane is not None
    lane.offer(10, 1, STAMP)
    ask = SimpleNamespace(record=FakeRecord(topic="t", offset=10))
    other = SimpleNamespace(record=FakeRecord(topic="t", offset=11))
    world.stages = [(SimpleNamespace(record=None), "engine"), (other, "engine"), (ask, "retry")]
    assert [one.oldest_stage for one in world.watch.views()] == ["retry"]


def test_a_pause_has_a_reason() -> None:
    """The one that keeps it paused."""
    world = World()
    worker = world.worker()
    world.paused = {PLACE}

    def reason() -> str:
        return world.watch.views()[0].paused

    assert reason() == "busy"
    assert worker.lane is not None
    for offset in (10, 11):
        worker.lane.offer(offset, 1, STAMP)
    assert reason() == "full"
    world.service._stopped = True
    assert reason() == "stopped"
    worker.reading = False
    assert reason() == "opening"
    worker.refusal = "two marks"
    assert reason() == "refused"
    world.paused = set()
    assert reason() == ""


def _states(world: World) -> Iterator[tuple[str, list[str]]]:
    """Each state of a member, and what it says then."""
    yield "new", ["starting"]
    world.engine_reason = "starting"
    yield "its engine starts", ["starting", "engine: starting"]
    world.engine_reason = ""
    world.working()
    yield "it waits for its group", ["no partition is assigned"]
    worker = world.worker(opened=False)
    yield "it restores", ["t/0 is opening"]
    worker.refusal = "two marks"
    yield "a person must decide", ["t/0 is refused: two marks"]
    worker.refusal, worker.restored = "", True
    yield "it works", []
    worker.trouble = "no broker"
    yield "it cannot commit", ["t/0 cannot commit: no broker"]
    worker.trouble, world.gate.reason = "", "5 of 10 refused"
    yield "results are refused", ["publishing: 5 of 10 refused"]
    world.gate.reason, world.engine_reason = "", "5 of 10 records failed"
    yield "most records fail", ["engine: 5 of 10 records failed"]
    world.engine_reason = "died"
    yield "its engine died", ["engine: died"]
    world.engine_reason = ""
    world.service.workers.clear()
    yield "a rebalance took its partitions", ["no partition is assigned"]
    world.service._phase = "stopping"
    yield "it stops", ["stopping"]


def test_readiness_is_told_as_it_is_in_every_state() -> None:
    """From the start to the stop; alive all the time."""
    world = World()
    for state, expected in _states(world):
        world.watch.look(partitions=False)
        good, reasons = world.health.ready()
        assert (state, list(reasons), good) == (state, expected, not expected)
        assert world.health.live() == (True, ())


def test_an_event_loop_that_stands_is_not_ready_and_then_not_alive() -> None:
    """What it said last is not believed for ever: the pages are another thread's."""
    world = World()
    world.working()
    world.worker()
    world.watch.look(partitions=False)
    world.now += 9
    assert world.health.ready()[0]
    world.now += 3
    assert world.health.ready() == (False, ("the event loop has stood for 12 s",))
    assert world.health.live()[0]
    world.health.polled()
    world.now += 59
    assert world.health.live() == (False, ("the event loop has stood for 71 s",))


async def test_it_looks_again_and_again_whatever_happens(caplog: pytest.LogCaptureFixture) -> None:
    """A broker that is down, or a bug in a look, ends nothing."""
    world = World()
    world.working()
    world.ends = None

    def failing() -> None:
        raise ValueError("a review's text")

    world.watch._work.tell = failing  # type: ignore[method-assign] # breaks each look
    before = world.health._ticked
    world.now += 5
    task = asyncio.create_task(world.watch.run(world.service._source))
    async with asyncio.timeout(5):
        while world.health._ticked == before or not caplog.records:
            await asyncio.sleep(0.01)
    assert not task.done()
    assert "a review's text" not in "".join(line.getMessage() for line in caplog.records)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def test_preemptions_are_counted_over_restarts() -> None:
    """A new engine counts from its own beginning; the same statement is told once."""
    world = World()
    for number, preemptions in ((1, 0), (2, 3), (2, 3), (3, 4), (1, 2)):
        world.load = Load(6, 5, 0.25, preemptions, number=number)
        world.watch.look(partitions=False)
    assert [event.count for event in world.told if event.what is What.PREEMPTED] == [3, 1, 2]
    loads = [(event.count, event.ratio, event.values) for event in world.told if event.what is What.ENGINE_LOAD]
    assert loads == [(5, 0.25, (6,))] * 4
