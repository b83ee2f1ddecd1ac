"""NSMC's own duplicates: the share of labels that the result cache answers, and the processor time it saves.

    python -m tests.benchmarks.result_cache --data DIR

`DIR` is laid out as ../local_model/README.md says. All reviews go through the embedded engine in batches of 50, without
the cache and behind it, in the order of the files; then behind it once more, as after `state reset --from beginning`.
"""

import argparse
import asyncio
import csv
import json
import time
from collections.abc import Sequence
from pathlib import Path

from consumer.analysis.task import Kind, Task
from consumer.cache.engine import CachingEngine
from consumer.cache.keys import Identity
from consumer.cache.memory import MemoryCache
from consumer.engines.contract import Answer, Engine, Fault
from consumer.engines.local.engine import LocalEngine
from consumer.hooks.events import Hooks

BATCH, BUDGET = 50, 4000
SHORT = 10
"""Characters."""
MEMORY = 64 * 1024 * 1024


def main() -> None:
    """Print shares and seconds."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.result_cache", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    asyncio.run(_measured(_texts(parser.parse_args().data / "nsmc")))


def _texts(folder: Path) -> list[str]:
    lines = (folder / "entity_reviews_100movies.jsonl").read_text("utf-8").splitlines()
    texts = [json.loads(line)["review"] for line in lines]
    for name in ("binary_5000.tsv", "rating_3000.tsv"):
        with (folder / name).open(encoding="utf-8", newline="") as file:
            texts.extend(row["document"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return texts


async def _measured(texts: Sequence[str]) -> None:
    local = LocalEngine()
    memory = MemoryCache(MEMORY)
    cached = CachingEngine(local, Identity(local.name, local.model), memory, None, Hooks())
    await cached.start()
    for name, engine in (("without", local), ("behind it", cached), ("once more", cached)):
        began = time.process_time()
        hits = await _asked(engine, texts)
        seconds = time.process_time() - began
        short = [hit for hit, text in zip(hits, texts, strict=True) if len(text) <= SHORT]
        print(
            f"{name}: {len(texts)} reviews, {sum(hits) / len(hits):.2%} cached "
            f"({sum(short) / len(short):.1%} of the {len(short)} of at most {SHORT} characters), "
            f"{seconds:.1f} s of processor time"
        )
    print(f"{len(memory)} entries, {memory.size / 2**20:.1f} MiB")
    await cached.stop()


async def _asked(engine: Engine, texts: Sequence[str]) -> list[bool]:
    hits = [False] * len(texts)
    for at in range(0, len(texts), BATCH):

        def take(index: int, said: Answer | Fault, at: int = at) -> None:
            hits[at + index] = isinstance(said, Answer) and said.cached

        tasks = [Task(Kind.SENTIMENT, "ko", (text,)) for text in texts[at : at + BATCH]]
        await engine.run(await engine.prepare(tasks, BUDGET), take)
    return hits


if __name__ == "__main__":
    main()
