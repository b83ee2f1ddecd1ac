"""`python -m tests.ops.member`: `review-consumer run` as it is, on the staged engine.

Environment: OPS_MOOD, the file with the engine's mood; OPS_FILE_BYTES, how large a file may become, if it is set:
what a full disk is to those who write. OPS_PARENT: the process whose end is this one's too.
"""

import os
import resource
import sys
from pathlib import Path

from consumer import cli
from consumer.cli import run as command
from consumer.settings import Settings
from tests.ops.engine import StagedEngine
from tests.processes import end_with


def main() -> None:
    """Run until stopped; ends as `review-consumer run` does."""
    end_with(int(os.environ["OPS_PARENT"]))
    if most := os.environ.get("OPS_FILE_BYTES"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), int(most)))
    vars(command)["choose_engine"] = _engine
    sys.argv = ["review-consumer", "run"]
    cli.main()


def _engine(_settings: Settings) -> StagedEngine:
    return StagedEngine(Path(os.environ["OPS_MOOD"]))


if __name__ == "__main__":
    main()
