"""Malformed events of twenty kinds among good ones, at full size; exit status 1 where anything is not as it should be.

python -m tests.benchmarks.malformed --malformed 10000 --good 50000
"""

import argparse
import asyncio
import os
import sys
import uuid
from pathlib import Path

from deploy.kafka.sources import open_kafka
from tests.integration.trial import run_trial
from tests.integration.world import World

ROOT = Path(__file__).resolve().parents[3]


def main() -> int:
    """Run it on the session's broker, or on one of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--malformed", type=int, default=10_000)
    parser.add_argument("--good", type=int, default=50_000)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--patience", type=float, default=500.0, help="Seconds that answering may take.")
    chosen = parser.parse_args()
    kafka = open_kafka(os.environ, ROOT / ".cache")
    try:
        wrong = asyncio.run(_run(kafka.bootstrap_servers, chosen))
    finally:
        kafka.close()
    for one in wrong:
        print(f"WRONG  {one[:500]}")
    return 1 if wrong else 0


async def _run(bootstrap_servers: str, chosen: argparse.Namespace) -> list[str]:
    world = World(bootstrap_servers, f"malformed-{uuid.uuid4().hex[:8]}.", chosen.partitions)
    await world.create()
    figures = await run_trial(world, chosen.malformed, chosen.good, chosen.patience, print)
    return figures.wrong


if __name__ == "__main__":
    sys.exit(main())
