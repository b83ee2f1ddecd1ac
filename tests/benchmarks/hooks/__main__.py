"""What the listeners cost of a record's plumbing, without Kafka and without a model.

    python -m tests.benchmarks.hooks --records 1000 --rounds 41

Real are lane, worker, decoding, batcher, dispatcher, fold, sqlite store, results and the looks at the member; source,
publisher and engine do nothing. So the share is an upper bound: Kafka's client and a tokenizer only add to the rest.
Each round runs the same records without and with the listeners, in changing order; printed is the median of the rounds'
ratios of processor time, and beside it the processor time that was spent inside the listeners.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry

from consumer.analysis.calibration import Calibration
from consumer.engines.contract import Deliver, Prepared
from consumer.hooks.events import Event, Hooks, Listener
from consumer.hooks.health import Health
from consumer.hooks.logs import log_listener
from consumer.hooks.metrics import Metrics
from consumer.hooks.pulled import EngineTime, Lanes
from consumer.hooks.traces import Spans
from consumer.kafka.publisher import Commit, Outcome, Write
from consumer.pipeline.dispatch import Dispatcher, DispatchRules
from consumer.pipeline.publish_gate import PublishGate
from consumer.pipeline.quarantine import Quarantine
from consumer.pipeline.reviews import Reviews
from consumer.pipeline.summaries import Summaries
from consumer.pipeline.watching import EngineLoad, Watch
from consumer.pipeline.worker import Assigned, Ground, Keeps, Worker
from consumer.pipeline.workload import LaneLimits, Made, Shared, Workload
from consumer.state_dir import StateDirectory
from consumer.store.disk import SqliteStore
from consumer.stream.admission import Admission
from consumer.stream.batcher import Batcher, BatchLimits
from consumer.stream.breaker import BreakerRules
from consumer.stream.keys import KeyCheck
from consumer.stream.record import Partition, Record
from consumer.stream.retry import RetryPolicy
from consumer.stream.state import Store
from schemas.codec import encode_document
from schemas.topics import KeyPartitioner
from tests.integration.scripted import ScriptedEngine
from tests.unit.lane_world import NAMES, RULES
from tests.unit.records import FakeRecord

POLL = 500
BUDGET = 4000


class Instant(ScriptedEngine):
    """Answers a whole batch at once: what is measured is not an engine."""

    async def run(self, batch: Sequence[Prepared], deliver: Deliver) -> None:
        """Deliver in order."""
        await asyncio.sleep(0)
        for index, prepared in enumerate(batch):
            deliver(index, self._answer(prepared.task))


class Nothing:
    """A source and a publisher that have nothing to do."""

    largest: int | None = None

    async def committed(self, _: Partition) -> int | None:
        """Nothing yet."""
        return None

    async def beginning(self, _: Partition) -> int:
        """From the first."""
        return 0

    def seek(self, _: Partition, offset: int) -> None:
        """Nowhere."""

    def resume(self, _: Sequence[Partition]) -> None:
        """Nothing is paused."""

    async def read(self, *_: object) -> None:
        """An empty changelog."""

    def publisher(self, _: Partition, generation: int) -> "Nothing":
        """Itself."""
        del generation
        return self

    async def open(self) -> None:
        """At once."""

    async def close(self) -> None:
        """At once."""

    async def commit(self, write: Write) -> Outcome:
        """Committed."""
        return Outcome(Commit.COMMITTED, position=write.since)


def main() -> None:
    """Print the share of the listeners."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.hooks", description=__doc__)
    parser.add_argument("--records", type=int, default=1000, help="of each run")
    parser.add_argument("--rounds", type=int, default=41)
    options = parser.parse_args()
    records = _records(options.records)
    ratios: dict[str, list[float]] = {"metrics and logs": [], "and traces that nobody samples": []}
    inside: dict[str, list[float]] = {name: [] for name in ratios}
    plain: list[float] = []
    _seconds(records, [])  # warms up
    for number in range(options.rounds):
        for name, found_ratios in ratios.items():
            timed = Timed(_listeners(name))
            runs: list[list[Listener]] = [[], [timed]]
            found = {len(run): _seconds(records, run) for run in (runs if number % 2 else runs[::-1])}
            plain.append(found[0])
            found_ratios.append(found[1] / found[0] - 1)
            inside[name].append(timed.seconds / (found[1] - timed.seconds))
    print(f"without listeners: {len(records) / statistics.median(plain):,.0f} records/s of processor time")
    for name, shares in ratios.items():
        low, middle, high = statistics.quantiles(shares, n=4)
        within = statistics.median(inside[name])
        print(f"{name}: {middle:+.1%} (quartiles {low:+.1%}, {high:+.1%}); inside the listeners {within:.1%}")


class Timed:
    """Listeners as one, and the processor time that they take: that of asking the clock included."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = listeners
        self.seconds = 0.0

    def __call__(self, event: Event) -> None:
        """Tell them."""
        began = time.thread_time()
        for listener in self._listeners:
            listener(event)
        self.seconds += time.thread_time() - began


def _listeners(name: str) -> list[Listener]:
    usual: list[Listener] = [
        Metrics(CollectorRegistry()),
        Lanes(),
        EngineTime(time.monotonic),
        log_listener(time.monotonic),
    ]
    if "traces" not in name:
        return usual
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF  # noqa: PLC0415 - beside its only use

    return [*usual, Spans(TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False), "group")]


def _records(count: int) -> list[FakeRecord]:
    texts = random.Random(1)
    return [
        FakeRecord(
            offset=number,
            timestamp=int(time.time() * 1000),
            key=str(number % 50).encode(),
            value=encode_document(
                {
                    "review_id": number,
                    "restaurant_id": number % 50,
                    "content": "맛있어요 " * texts.randint(2, 20),
                    "rating": texts.randint(1, 5),
                }
            ),
        )
        for number in range(count)
    ]


def _seconds(records: Sequence[FakeRecord], listeners: Sequence[Listener]) -> float:
    with tempfile.TemporaryDirectory(prefix="hooks-") as folder:
        return asyncio.run(_run(records, Hooks(listeners), Path(folder)))


async def _run(records: Sequence[Record], hooks: Hooks, folder: Path) -> float:
    """Processor time of the whole way, looks at the member included."""
    nothing: Any = Nothing()
    gate = PublishGate(BreakerRules(share=1), hooks, clock=time.monotonic, random=random.random)
    directory = StateDirectory(folder, "group")
    quarantine = Quarantine(directory, hooks)
    quarantine.open()
    policy = RetryPolicy()
    dispatcher = Dispatcher(
        Instant(),
        Batcher(BatchLimits(BUDGET, 10, 100)),
        Admission(20, BUDGET),
        DispatchRules(BUDGET, 60, policy, BreakerRules(share=1)),
        quarantine,
        hooks,
        clock=time.monotonic,
        random=random.random,
    )
    shared = Shared(
        NAMES,
        Made("e", "m"),
        "exactly_once",
        LaneLimits(2000, 1 << 24, 0),
        dispatcher.submit,
        hooks,
        time.monotonic,
        time.time,
        random.random,
        1e9,
        Calibration(),
    )
    ground = Ground(nothing, nothing, nothing, shared, lambda: None, gate, 0.2, None)
    place = Partition(NAMES.reviews, 0)
    keys = KeyCheck(NAMES.reviews, KeyPartitioner.ANY, 1)

    def workload(worker: Worker, store: Store) -> Workload:
        return Reviews(worker, shared, store, Summaries(worker, shared, store, RULES), keys)

    store = folder / "lane.sqlite3"
    worker = Worker(Assigned(place, 1, 1, Keeps.STATE), ground, lambda: SqliteStore(store, time.time), workload)
    member: Any = SimpleNamespace(workers={place: worker}, paused=frozenset, reasons=list, pause_reason=lambda _: "")
    look = EngineLoad(lambda: None, hooks)
    watch = Watch(member, dispatcher, look, Health(time.monotonic, 60), hooks, clock=time.monotonic, wall=time.time)
    tasks = [asyncio.create_task(work) for work in (dispatcher.run(), worker.run(), watch.run(_Ends()))]
    while not worker.restored:
        await asyncio.sleep(0.001)
    began = time.process_time()
    await _feed(worker, records)
    seconds = time.process_time() - began
    await worker.drain(5)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    quarantine.close()
    directory.close()
    return seconds


class _Ends:
    async def ends(self, partitions: Sequence[Partition]) -> dict[Partition, tuple[int, int | None]]:
        """As a broker would say."""
        return dict.fromkeys(partitions, (10, 10))


async def _feed(worker: Worker, records: Sequence[Record]) -> None:
    """Poll by poll, as fast as the lane takes them, until all are committed."""
    at = 0
    lane = worker.lane
    while lane is not None and lane.committed < len(records):
        if at < len(records) and worker.fill().records <= 2 * POLL:
            worker.receive(records[at : at + POLL])
            at += POLL
        await asyncio.sleep(0.002)


if __name__ == "__main__":
    main()
