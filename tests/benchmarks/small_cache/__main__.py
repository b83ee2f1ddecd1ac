"""The consumer on a vLLM whose KV cache is too small on purpose: the ceiling learns how much fits.

    python -m tests.benchmarks.small_cache --model DIR --svg consumer/small-cache.svg

Run it with the environment of `make test-llm`; `DIR` holds weights for vLLM, such as those that it makes.
A broker of its own is given restaurants with reviews enough for a summary each; then `review-consumer run` starts, with
blocks of KV cache for a fraction of what two batches may come to. Its metrics are read twice a second until every
review is answered and every restaurant has its summary and strengths, or for `--seconds`. Exit status 1: a review
without its one answer, a dead letter, or an engine that died.
"""

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from deploy.kafka.jars import DEFAULT_CACHE
from deploy.kafka.sources import java_broker
from schemas.codec import encode_document
from schemas.results import RestaurantStrengths, RestaurantSummary
from tests.benchmarks.small_cache.curve import Sample, by_quarter, svg
from tests.integration.world import World
from tests.llm.server import ARGS

DATA = Path(__file__).parents[2] / "data" / "nsmc_reviews.jsonl"
PARTITIONS = 4
BUDGET = 2500
"""Tokens of a batch: the ceiling starts at two, and never falls below one."""
LOOK_SECONDS = 0.5
TELL_SECONDS = 15.0
START_SECONDS, STOP_SECONDS = 300.0, 60.0
RESULTS = "review_consumer_results_total"
UP = "review_consumer_engine_up"
METRICS = {
    "review_consumer_in_flight_ceiling_tokens": "ceiling",
    "review_consumer_engine_preemptions_total": "preemptions",
    "review_consumer_engine_outages_total": "outages",
    "review_consumer_engine_kv_cache_usage_ratio": "cache",
}


def main() -> None:
    """Print the figures; write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of the model's weights")
    parser.add_argument("--blocks", type=int, default=80, help="of 32 tokens of KV cache")
    parser.add_argument("--restaurants", type=int, default=16)
    parser.add_argument("--reviews", type=int, default=10, help="a restaurant")
    parser.add_argument("--seconds", type=float, default=900.0)
    parser.add_argument("--svg", type=Path, metavar="FILE")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the samples")
    asked = parser.parse_args()
    broker = java_broker(DEFAULT_CACHE)
    try:
        broker.start()
        samples, found = asyncio.run(_run(World(broker.bootstrap_servers, "small-cache.", PARTITIONS), asked))
    finally:
        broker.close()
    if asked.json:
        asked.json.write_text(json.dumps([asdict(sample) for sample in samples]) + "\n", "utf-8")
    if asked.svg:
        asked.svg.write_text(svg(samples), "utf-8")
    print(json.dumps(found))
    sys.exit(0 if found["answered_once"] == found["reviews"] and not found["dead_letters"] + found["outages"] else 1)


async def _run(world: World, asked: argparse.Namespace) -> tuple[list[Sample], dict[str, Any]]:
    await world.create()
    sent = await world.send(_reviews(asked.restaurants, asked.reviews))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="small-cache-") as folder:
        with _consumer(world.environment(**_settings(asked, port, folder)), Path(folder) / "log"):
            samples = await _watched(port, asked)
        answers = Counter(result.review_id for result in await world.results())
    summaries, strengths = await _jobs(world)
    found = {
        "reviews": sent,
        "answered_once": sum(count == 1 for count in answers.values()),
        "dead_letters": len(await world.letters()),
        "summaries": summaries,
        "strengths": strengths,
        "outages": round(samples[-1].outages),
        "seconds": round(samples[-1].seconds),
        "ceiling": {"first": samples[0].ceiling, "least": min(s.ceiling for s in samples), "last": samples[-1].ceiling},
        "preemptions": by_quarter(samples),
    }
    return samples, found


def _reviews(restaurants: int, each: int) -> Iterator[tuple[bytes, bytes]]:
    """Real texts, again from the first where there are not enough."""
    texts = cycle([json.loads(line)["content"] for line in DATA.read_text("utf-8").splitlines()])
    for number, text in enumerate(islice(texts, restaurants * each)):
        restaurant = f"r{number % restaurants}"
        event = {"review_id": number, "restaurant_id": restaurant, "content": text}
        yield restaurant.encode(), encode_document(event)


def _settings(asked: argparse.Namespace, port: int, folder: str) -> dict[str, str]:
    args = {
        **ARGS,
        "max_model_len": BUDGET,
        "num_gpu_blocks_override": asked.blocks + 1,  # one stands for "no block"
        "disable_hybrid_kv_cache_manager": True,  # every layer in every block: a block is 32 tokens
    }
    return {
        **{name: value for name, value in os.environ.items() if name.startswith("VLLM_CPU_")},
        "HF_HUB_OFFLINE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_LOGGING_LEVEL": "WARNING",
        "ENGINE": "vllm",
        "VLLM_MODEL": str(asked.model.resolve()),
        "VLLM_ENGINE_ARGS": json.dumps(args),
        "VLLM_MAX_TOKENS_PER_BATCH": str(BUDGET),
        "ENGINE_STALL_SECONDS": "120",
        "ENGINE_REQUEST_TIMEOUT_SECONDS": "600",
        "SUMMARY_MIN_REVIEWS": str(asked.reviews),
        "METRICS_PORT": str(port),
        "STATE_DIR": folder,
    }


@contextmanager
def _consumer(environment: dict[str, str], log: Path) -> Iterator[None]:
    """As an operator runs it; the end of its log into the error, should it fail."""
    with log.open("wb") as sink:
        process = subprocess.Popen([sys.executable, "-m", "consumer.cli", "run"], env=environment, stderr=sink)
    try:
        yield
    except Exception as error:
        tail = "\n".join(log.read_text("utf-8", "replace").splitlines()[-20:])
        raise RuntimeError(f"the consumer (status {process.poll()}) said:\n{tail}") from error
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


async def _watched(port: int, asked: argparse.Namespace) -> list[Sample]:
    """Until all is done, or time is up. Kafka is left to the consumer meanwhile."""
    began, told, samples = await _up(port), 0.0, list[Sample]()
    wanted = {
        "sentiment": asked.restaurants * asked.reviews,
        "summary": asked.restaurants,
        "strength": asked.restaurants,
    }
    while (now := time.monotonic() - began) < asked.seconds:
        metrics = await asyncio.to_thread(_metrics, port)
        samples.append(Sample(round(now, 1), **{name: metrics[name] for name in METRICS.values()}))
        if now > told + TELL_SECONDS:
            told = now
            print(f"{now:5.0f} s: {dict(metrics)}", file=sys.stderr, flush=True)
        if all(metrics[kind] >= count for kind, count in wanted.items()):
            break
        await asyncio.sleep(LOOK_SECONDS)
    return samples


async def _up(port: int) -> float:
    """When the engine was."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with suppress(urllib.error.URLError, OSError, KeyError):
            if (await asyncio.to_thread(_metrics, port))[UP]:
                return time.monotonic()
        await asyncio.sleep(LOOK_SECONDS)
    raise RuntimeError(f"no engine within {START_SECONDS:g} s")


def _metrics(port: int) -> defaultdict[str, float]:
    """By their names in a sample; results by their kind."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as said:
        families = list(text_string_to_metric_families(said.read().decode()))
    found = defaultdict[str, float](float)
    for one in (sample for family in families for sample in family.samples):
        if one.name in METRICS:
            found[METRICS[one.name]] += one.value
        elif one.name == UP:
            found[UP] += one.value
        elif one.name == RESULTS:
            found[one.labels["kind"]] += one.value
    return found


async def _jobs(world: World) -> tuple[int, int]:
    """Restaurants with a summary, and with strengths."""
    names = world.settings.topics
    summaries = await world.latest(names.summary, RestaurantSummary)
    return len(summaries), len(await world.latest(names.strength, RestaurantStrengths))


if __name__ == "__main__":
    main()
