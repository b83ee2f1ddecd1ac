"""`python -m tests.chaos.member`: `review-consumer run` as it is, on an engine that misbehaves by a seed.

Environment: CHAOS_HARNESS (the process whose end is this one's too), CHAOS_SEED, and CHAOS_CALM:
the path of a file; where there is one the engine is calm.
"""

import ctypes
import logging
import os
import signal
import sys
from pathlib import Path

from consumer import cli
from consumer.cli import run as command
from consumer.settings import Settings
from tests.chaos.engine import ChaosEngine

GENERATIONS = "aiokafka.consumer.group_coordinator"
"""The logger that tells of each rebalance."""


def main() -> None:
    """Run until stopped; ends as `review-consumer run` does."""
    _die_with(int(os.environ["CHAOS_HARNESS"]))
    logging.getLogger(GENERATIONS).setLevel(logging.INFO)
    vars(command)["choose_engine"] = _engine
    sys.argv = ["review-consumer", "run"]
    cli.main()


def _engine(_settings: Settings) -> ChaosEngine:
    return ChaosEngine(int(os.environ["CHAOS_SEED"]), Path(os.environ["CHAOS_CALM"]).exists)


def _die_with(harness: int) -> None:
    """Have Linux kill this process, stopped or not, when the harness ends (prctl 1 is PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != harness:
        sys.exit("the harness has ended")


if __name__ == "__main__":
    main()
