"""The real dispatcher with its batcher, admission, ceiling and lanes, on a simulated engine and a virtual clock."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from consumer.analysis.task import Task
from consumer.engines.contract import Answer, Engine, Prepared
from consumer.hooks.events import Event, Hooks
from consumer.pipeline.ask import Ask
from consumer.pipeline.dispatch import Dispatcher, DispatchRules
from consumer.pipeline.quarantine import Quarantine
from consumer.pipeline.regulator import Regulator
from consumer.settings import PRESETS
from consumer.state_dir import StateDirectory
from consumer.stream.admission import Admission
from consumer.stream.backpressure import LaneFill, WaterMarks, decide
from consumer.stream.batcher import Batcher, BatchLimits
from consumer.stream.breaker import BreakerRules
from consumer.stream.ceiling import Ceiling, CeilingRules
from consumer.stream.lane import Lane
from consumer.stream.retry import RetryPolicy
from consumer.stream.work import Rank
from tests.benchmarks.simulator.engine import SimulatedEngine
from tests.benchmarks.simulator.hardware import Gpu

POLL_SECONDS, POLL_RECORDS = 0.01, 500
COMMIT_SECONDS = 0.2
LANE_RECORDS, LANE_BYTES = 2000, 16 * 2**20
RECORD_BYTES = 300


@dataclass(frozen=True, slots=True)
class Record:
    """One review: whose it is, what is asked, how urgent it is."""

    restaurant: str
    task: Task
    rank: Rank = Rank.NORMAL


@dataclass(eq=False)
class Joined:
    """A dispatcher with its batcher and admission, joined as `consumer/pipeline/assembly.py` joins them."""

    engine: Engine
    budget: int
    """Tokens of a batch."""
    items: tuple[int, int]
    """Of a batch: worth one after the short linger, and at most."""
    most: int
    """Batches at once."""
    clock: Callable[[], float]
    listen: Callable[[Event], None]
    adaptive: bool = True

    def __post_init__(self) -> None:
        """With the defaults of the settings."""
        hooks = Hooks([self.listen])
        ceiling = Ceiling(self.most, self.budget, CeilingRules())
        regulator = Regulator(ceiling, self.most * self.budget, self.engine.load, self.clock)
        self.admission = Admission(self.most, self.budget, regulator if self.adaptive else None)
        self.batcher: Batcher[Ask] = Batcher(BatchLimits(self.budget, *self.items, 0.02, 0.2, aging=5.0))
        self.dispatcher = Dispatcher(
            self.engine,
            self.batcher,
            self.admission,
            DispatchRules(self.budget, 3600.0, RetryPolicy(), BreakerRules(share=1)),
            Quarantine(StateDirectory(Path("unused"), "unused"), hooks),
            hooks,
            clock=self.clock,
            random=lambda: 0.5,
        )


@dataclass(eq=False)
class Bench:
    """With a GPU's preset, on a machine."""

    gpu: Gpu
    adaptive: bool = True
    closed: bool = False
    answered: int = 0
    ceilings: list[tuple[float, int]] = field(default_factory=list)
    batches: int = 0

    def __post_init__(self) -> None:
        """On the running loop."""
        loop, preset = asyncio.get_running_loop(), PRESETS[self.gpu.preset]
        budget, most = preset["max_tokens_per_batch"], preset["max_concurrent_batches"]
        self.clock = loop.time
        self.engine = SimulatedEngine(self.gpu.limits, self.gpu)
        items = preset["min_batch_size"], preset["max_batch_size"]
        joined = Joined(self.engine, budget, items, most, loop.time, self._listen, self.adaptive)
        self.admission, self.batcher, self.dispatcher = joined.admission, joined.batcher, joined.dispatcher
        self.marks = WaterMarks.halving(
            max_records=LANE_RECORDS,
            max_bytes=LANE_BYTES,
            max_tokens=4 * most * budget,
            poll_records=POLL_RECORDS,
        )

    def _listen(self, event: Event) -> None:
        if event.what == "ceiling":
            self.ceilings.append((self.clock(), event.count))
        elif event.what == "batch_started":
            self.batches += 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Engine and dispatcher at work while inside."""
        await self.engine.start()
        work = asyncio.create_task(self.dispatcher.run())
        try:
            yield
        finally:
            work.cancel()
            await self.engine.stop()
            with suppress(asyncio.CancelledError, BaseExceptionGroup):
                await work

    def ask(self, record: Record, then: Callable[[], None], name: str = "") -> None:
        """Submit one question."""

        def answered(_answer: Answer, _prepared: Prepared) -> None:
            self.answered += 1
            then()

        def failed(fault: Exception, _attempts: int) -> None:
            raise RuntimeError(f"nothing fails here: {fault}")

        self.dispatcher.submit(Ask(record.task, record.restaurant, record.rank, self, answered, failed, name=name))

    async def read(self, partitions: list[Iterable[Record]], after: Callable[[Record], None] = lambda _: None) -> None:
        """Read all partitions to their end, as a member does: polls, lanes, pauses, commits. `after`: each answer."""
        topics = [_Partition(number, iter(records), self, after) for number, records in enumerate(partitions)]
        paused: set[int] = set()
        committed = 0.0
        while not all(one.over for one in topics):
            for one in topics:
                if one.number not in paused:
                    one.poll(POLL_RECORDS // max(1, len(topics) - len(paused)))
            if self.clock() >= committed + COMMIT_SECONDS:
                committed = self.clock()
                for one in topics:
                    one.commit()
            fills = {one.number: LaneFill(len(one.lane), one.lane.size) for one in topics}
            decision = decide(self.marks, fills, paused, self.dispatcher.waiting_tokens(""))
            paused = (paused | decision.pause) - decision.resume
            await asyncio.sleep(POLL_SECONDS)


class _Partition:
    """One partition's records, and its lane."""

    def __init__(self, number: int, records: Iterator[Record], bench: Bench, after: Callable[[Record], None]) -> None:
        self.number, self._records, self._bench, self._after = number, records, bench, after
        self.lane: Lane[None] = Lane(0, LANE_RECORDS, LANE_BYTES)
        self._next, self._ended = 0, False
        self._left: deque[Record] = deque()

    @property
    def over(self) -> bool:
        """Read, answered and committed."""
        return self._ended and not self._left and not len(self.lane)

    def poll(self, most: int) -> None:
        """Offer the next records, in order."""
        for _ in range(most):
            record = self._left.popleft() if self._left else next(self._records, None)
            if record is None:
                self._ended = True
                return
            if self.lane.offer(self._next, RECORD_BYTES).name == "FULL":
                self._left.appendleft(record)
                return
            self._bench.ask(record, self._finisher(record, self._next), f"{self.number}/{self._next}")
            self._next += 1

    def commit(self) -> None:
        """The done prefix leaves."""
        self.lane.retire(self.lane.done_prefix(1_000_000).next_offset)

    def _finisher(self, record: Record, offset: int) -> Callable[[], None]:
        def finish() -> None:
            self.lane.finish(offset, None)
            self._after(record)

        return finish
