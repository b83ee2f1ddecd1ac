"""What is measured on the simulator; each gives its figures. Everything here is simulated."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from consumer.analysis.task import Kind, Task
from consumer.settings import PRESETS
from consumer.stream.work import Rank
from tests.benchmarks.simulator.driving import Bench, Record
from tests.benchmarks.simulator.engine import SimulatedEngine, task
from tests.benchmarks.simulator.hardware import Gpu
from tests.benchmarks.simulator.virtual_time import run
from tests.benchmarks.simulator.workloads import Summaries, heavy_tailed, reviews, summary

OLD_BATCH = 50


@dataclass(frozen=True, slots=True)
class Backlog:
    """A backlog read to its end."""

    gpu: str
    answered: int
    batches: int
    seconds: float
    busy: float
    """Share of the time in which the engine computed."""
    preempted: float
    """Preemptions a request."""
    demand: float
    """KV blocks of all that had begun, at most, against all there are."""
    held: float
    """The same of all that was in the engine, begun or not."""
    ceiling: int
    """Tokens in flight allowed at the end."""


def backlog(gpu: Gpu, count: int, *, summaries: bool, adaptive: bool = True, seed: int = 1) -> Backlog:
    """So many reviews of heavy-tailed lengths, and perhaps the summaries that they make due."""
    return run(_backlog(gpu, count, summaries=summaries, adaptive=adaptive, seed=seed))


async def _backlog(gpu: Gpu, count: int, *, summaries: bool, adaptive: bool, seed: int) -> Backlog:
    bench, jobs = Bench(gpu, adaptive), Summaries(seed)
    open_jobs = 0

    def after(record: Record) -> None:
        nonlocal open_jobs
        for job in jobs.owed(record) if summaries else ():
            open_jobs += 1
            bench.ask(job, ended)

    def ended() -> None:
        nonlocal open_jobs
        open_jobs -= 1

    async with bench.running():
        await bench.read([*reviews(count, seed)], after)
        while open_jobs:
            await asyncio.sleep(0.01)
        seconds = bench.clock()
    return _figures(gpu, bench.engine, bench.answered, bench.batches, seconds, bench.admission.ceiling)


def _figures(gpu: Gpu, engine: SimulatedEngine, answered: int, batches: int, seconds: float, ceiling: int) -> Backlog:
    machine, blocks = engine.machine, gpu.limits.blocks or 1
    return Backlog(
        gpu.name,
        answered,
        batches,
        round(seconds, 1),
        round(engine.busy / seconds, 3),
        round(machine.preemptions / answered, 5),
        round(machine.demand / blocks, 3),
        round(engine.held / blocks, 3),
        ceiling,
    )


def fixed_batches(gpu: Gpu, count: int, *, seed: int = 1) -> Backlog:
    """The same reviews in batches of 50 as they came, as many at once as the preset allows; each a barrier."""
    return run(_fixed(gpu, count, seed))


async def _fixed(gpu: Gpu, count: int, seed: int) -> Backlog:
    preset = PRESETS[gpu.preset]
    engine = SimulatedEngine(gpu.limits, gpu)
    await engine.start()
    records = [record for partition in reviews(count, seed) for record in partition]
    random.Random(seed).shuffle(records)
    batches = iter([records[at : at + OLD_BATCH] for at in range(0, len(records), OLD_BATCH)])

    async def client() -> None:
        for batch in batches:
            prepared = await engine.prepare([record.task for record in batch], preset["max_tokens_per_batch"])
            await engine.run(prepared, lambda _index, _answer: None)

    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as clients:
        for _ in range(preset["max_concurrent_batches"]):
            clients.create_task(client())
    seconds = loop.time()
    await engine.stop()
    return _figures(gpu, engine, len(records), -(-len(records) // OLD_BATCH), seconds, 0)


@dataclass(frozen=True, slots=True)
class Restaurants:
    """So many restaurants with all three analyses: one after another, and at once."""

    count: int
    one_by_one: float
    ours: float

    @property
    def cut(self) -> float:
        """Share of the time that is saved."""
        return 1 - self.ours / self.one_by_one

    @property
    def speed(self) -> float:
        """Requests a second against one after another."""
        return self.one_by_one / self.ours


REVIEWS_EACH = 10
"""What makes a summary due."""


def restaurants(gpu: Gpu, counts: Sequence[int], *, seed: int = 1) -> list[Restaurants]:
    """Each has 10 reviews: their labels, then a summary, then what the others are praised for, then its strengths."""
    return [Restaurants(n, run(_one_by_one(gpu, n, seed)), run(_at_once(gpu, n, seed))) for n in counts]


def _stages(rng: random.Random) -> list[list[Task]]:
    """Each stage begins when the one before it has ended."""
    lengths = [min(100, heavy_tailed(rng)) for _ in range(REVIEWS_EACH)]
    return [
        [task(Kind.SENTIMENT, tokens) for tokens in lengths],
        [summary(rng, sum(lengths))],
        [task(Kind.COMPARISON, 300, rng.randint(60, 150))],
        [task(Kind.STRENGTH, 350, rng.randint(100, 300))],
    ]


async def _one_by_one(gpu: Gpu, count: int, seed: int) -> float:
    engine, rng = SimulatedEngine(gpu.limits, gpu), random.Random(seed)
    budget = PRESETS[gpu.preset]["max_tokens_per_batch"]
    await engine.start()
    for _ in range(count):
        for stage in _stages(rng):
            await engine.run(await engine.prepare(stage, budget), lambda _index, _answer: None)
    await engine.stop()
    return asyncio.get_running_loop().time()


async def _at_once(gpu: Gpu, count: int, seed: int) -> float:
    bench, rng = Bench(gpu), random.Random(seed)
    left = count
    over = asyncio.Event()

    def begin(restaurant: str, stages: list[list[Task]]) -> None:
        nonlocal left
        if not stages:
            left -= 1
            if not left:
                over.set()
            return
        stage, *rest = stages
        open_tasks = len(stage)

        def ended() -> None:
            nonlocal open_tasks
            open_tasks -= 1
            if not open_tasks:
                begin(restaurant, rest)

        for one in stage:
            bench.ask(Record(restaurant, one), ended)

    async with bench.running():
        for number in range(count):
            begin(f"r{number}", _stages(rng))
        await over.wait()
        return bench.clock()


@dataclass(frozen=True, slots=True)
class Flood:
    """An urgent review behind a flood."""

    flood: int
    answered_before: int
    """Of the flood's, before the urgent one."""
    seconds: float
    """From its arrival to its answer."""


def flood(gpu: Gpu, count: int) -> Flood:
    """So many unhurried reviews of one restaurant, all waiting; then an urgent one of another."""
    return run(_flood(gpu, count))


async def _flood(gpu: Gpu, count: int) -> Flood:
    bench, rng = Bench(gpu), random.Random(1)
    done = asyncio.Event()
    before, began = 0, 0.0

    def low() -> None:
        nonlocal before
        before += not done.is_set()

    async with bench.running():
        for number in range(count):
            bench.ask(Record("flooded", task(Kind.SENTIMENT, heavy_tailed(rng)), Rank.LOW), low, f"low/{number}")
        while len(bench.batcher) < count // 2:
            await asyncio.sleep(0.001)
        before, began = 0, bench.clock()
        bench.ask(Record("other", task(Kind.SENTIMENT, 40), Rank.HIGH), done.set, "high")
        await done.wait()
        found = Flood(count, before, round(bench.clock() - began, 3))
        while bench.admission.tokens_in_flight or len(bench.batcher):
            await asyncio.sleep(0.1)
        return found


@dataclass(frozen=True, slots=True)
class Starvation:
    """Unhurried reviews beside urgent ones that never end."""

    answered: int
    of: int
    urgent: int
    longest: float
    """Seconds that an unhurried one took."""


def starvation(gpu: Gpu, count: int, seconds: float) -> Starvation:
    """Urgent reviews always wait, more than the engine can answer; so many unhurried ones among them."""
    return run(_starvation(gpu, count, seconds))


async def _starvation(gpu: Gpu, count: int, seconds: float) -> Starvation:
    bench, rng = Bench(gpu), random.Random(1)
    took: list[float] = []
    urgent, over = 0, False

    def review(rank: Rank, restaurant: str, then: Callable[[], None]) -> None:
        bench.ask(Record(restaurant, task(Kind.SENTIMENT, heavy_tailed(rng)), rank), then)

    def again() -> None:
        nonlocal urgent
        urgent += 1
        if not over:
            review(Rank.HIGH, f"busy{urgent % 50}", again)

    async with bench.running():
        for number in range(4000):
            review(Rank.HIGH, f"busy{number % 50}", again)
        await asyncio.sleep(1.0)
        for number in range(count):
            began = bench.clock()
            review(Rank.LOW, f"calm{number}", lambda began=began: took.append(bench.clock() - began))  # type: ignore[misc]
        await asyncio.sleep(seconds)
        found = Starvation(len(took), count, urgent, round(max(took, default=0.0), 2))
        over = True
        while bench.admission.tokens_in_flight or len(bench.batcher):
            await asyncio.sleep(0.1)
    return found
