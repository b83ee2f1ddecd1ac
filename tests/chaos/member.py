"""`python -m tests.chaos.member`: `review-consumer run` as it is, on an engine that misbehaves by a seed.

Environment: CHAOS_HARNESS (the process whose end is this one's too), CHAOS_SEED, and CHAOS_CALM:
the path of a file; where there is one the engine is calm.
"""

import logging
import os
import sys
from pathlib import Path

from consumer import cli
from consumer.cli import run as command
from consumer.settings import Settings
from tests.chaos.engine import ChaosEngine
from tests.processes import end_with

GENERATIONS = "aiokafka.consumer.group_coordinator"
"""The logger that tells of each rebalance."""


def main() -> None:
    """Run until stopped; ends as `review-consumer run` does."""
    end_with(int(os.environ["CHAOS_HARNESS"]))
    logging.getLogger(GENERATIONS).setLevel(logging.INFO)
    vars(command)["choose_engine"] = _engine
    sys.argv = ["review-consumer", "run"]
    cli.main()


def _engine(_settings: Settings) -> ChaosEngine:
    return ChaosEngine(int(os.environ["CHAOS_SEED"]), Path(os.environ["CHAOS_CALM"]).exists)


if __name__ == "__main__":
    main()
