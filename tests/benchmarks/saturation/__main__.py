"""What Kafka and the service cost an engine: reviews through both, against all prompts at once on the same engine.

    python -m tests.benchmarks.saturation --data DIR --model DIR [--reviews 2000] [--rounds 1]

`DIR` of the data is laid out as ../local_model/README.md says; that of the model holds weights for vLLM, such as those
that `make test-llm` makes. Run it with the environment of `make test-llm`. The topic is loaded before the clock starts.
`service` is measured from the start of a member, engine running, to the commit of the last review; `at once` hands the
very same prompts to the engine in one call. The engine's prefix cache is emptied before each, and they take turns.
"""

import argparse
import asyncio
import hashlib
import json
import os
import time
from pathlib import Path
from statistics import median
from typing import Any

from consumer.analysis.task import Kind, Task
from consumer.analysis.text import language_of
from consumer.engines.vllm.engine import VllmEngine, VllmRules
from deploy.kafka.jars import DEFAULT_CACHE
from deploy.kafka.sources import java_broker
from schemas.codec import encode_document
from tests.integration.world import World
from tests.llm.server import ARGS
from tests.llm.test_vllm_pipeline import Lent

PARTITIONS = 4
LOOK_SECONDS = 0.2
STALL_SECONDS = 300.0


def main() -> None:
    """Print a line a round, and the median ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder laid out as the local model's README says")
    parser.add_argument("--model", type=Path, required=True, help="folder of the model's weights")
    parser.add_argument("--reviews", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=1)
    asked = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_LOGGING_LEVEL": "WARNING"}
    broker = java_broker(DEFAULT_CACHE)
    try:
        broker.start()
        asyncio.run(_compare(broker.bootstrap_servers, asked))
    finally:
        broker.close()


async def _compare(address: str, asked: argparse.Namespace) -> None:
    texts = _texts(asked.data, asked.reviews)
    world = World(address, "saturation.", PARTITIONS)
    engine = VllmEngine(VllmRules(str(asked.model), ARGS, world.settings.batches.max_tokens_per_batch, STALL_SECONDS))
    await engine.start()
    ratios = []
    try:
        for number in range(asked.rounds):
            at_once = await _at_once(engine, texts, world.settings.batches.max_tokens_per_batch)
            service = await _through_kafka(engine, texts, address, number)
            ratios.append(at_once / service)
            print(
                f"{len(texts)} reviews: at once {at_once:.1f} s, service {service:.1f} s, ratio {ratios[-1]:.3f}",
                flush=True,
            )
    finally:
        await engine.stop()
    print(json.dumps({"reviews": len(texts), "rounds": asked.rounds, "ratio": median(ratios)}))


async def _at_once(engine: VllmEngine, texts: list[str], budget: int) -> float:
    await _emptied(engine)
    began = time.monotonic()
    batch = await engine.prepare([Task(Kind.SENTIMENT, language_of([text]), (text,)) for text in texts], budget)
    done: list[Any] = []
    await engine.run(batch, lambda _, outcome: done.append(outcome))
    if len(done) != len(texts):
        raise RuntimeError(f"{len(done)} of {len(texts)} prompts were answered")
    return time.monotonic() - began


async def _through_kafka(engine: VllmEngine, texts: list[str], address: str, number: int) -> float:
    """The clock stands while the topic is loaded."""
    world = World(address, f"saturation-{number}.", PARTITIONS)
    world.tuned("jobs", summary_min_reviews=10 * len(texts), summary_max_age_seconds=86_400.0)
    await world.create()
    await world.send(
        (
            f"r{n % 100}".encode(),
            encode_document({"review_id": str(n), "restaurant_id": f"r{n % 100}", "content": text}),
        )
        for n, text in enumerate(texts)
    )
    await _emptied(engine)
    began = time.monotonic()
    async with world.running(Lent(engine)):
        while await world.committed() < len(texts):
            await asyncio.sleep(LOOK_SECONDS)
        took = time.monotonic() - began
    if letters := await world.letters():
        raise RuntimeError(f"{len(letters)} reviews became dead letters, the first for {letters[0].reason}")
    return took


async def _emptied(engine: VllmEngine) -> None:
    if engine._life is None or not await engine._life.llm.reset_prefix_cache():
        raise RuntimeError("the engine's prefix cache cannot be emptied")


def _texts(data: Path, count: int) -> list[str]:
    """Distinct, without empty ones, the same each time."""
    with (data / "nsmc" / "entity_reviews_100movies.jsonl").open(encoding="utf-8") as lines:
        found = {json.loads(line)["review"] for line in lines}
    texts = sorted((text for text in found if text.strip()), key=lambda text: hashlib.sha256(text.encode()).digest())
    if len(texts) < count:
        raise SystemExit(f"--reviews {count}: the data has {len(texts)} distinct ones")
    return texts[:count]


if __name__ == "__main__":
    main()
