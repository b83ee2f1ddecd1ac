"""`python -m tests.chaos`: kill everything, whenever; then see that nothing is lost, and nothing doubled.

A real broker, members as processes, a steady producer. Exit status 1 when anything is wrong; the logs are kept then.
"""

import argparse
import asyncio
import json
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from deploy.kafka.errors import BrokerFailed, Unavailable
from tests.chaos.harness import Options, accepted_deliveries, chaos
from tests.chaos.report import Report

EXIT_WRONG = 1
EXIT_NO_RUN = 2


def main() -> int:
    """Run, print, and say by the exit status how it went."""
    arguments = _parser().parse_args()
    if arguments.delivery not in accepted_deliveries():
        print(f"error: --delivery {arguments.delivery}: this consumer has {' and '.join(accepted_deliveries())}")
        return EXIT_NO_RUN
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    print(f"logs: {folder}", flush=True)
    logging.basicConfig(filename=folder / "clients.log")  # with the broker killed, the clients have much to say
    try:
        report = asyncio.run(chaos(_options(arguments), folder, _say_since(time.monotonic(), folder / "chaos.log")))
    except (BrokerFailed, Unavailable) as error:
        print(f"error: no Kafka broker: {error}")
        return EXIT_NO_RUN
    return _end(report, folder, arguments)


def _end(report: Report, folder: Path, arguments: argparse.Namespace) -> int:
    print(report.text())
    if arguments.json:
        arguments.json.write_text(json.dumps(report.document(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    wrong = bool(report.problems())
    if wrong or arguments.keep:
        print(f"logs kept: {folder}")
    else:
        shutil.rmtree(folder)
    return EXIT_WRONG if wrong else 0


def _say_since(started: float, log: Path) -> Callable[[str], None]:
    def say(what: str) -> None:
        line = f"{time.monotonic() - started:7.1f} {time.strftime('%H:%M:%S')} {what}"
        print(line, flush=True)
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    return say


def _options(arguments: argparse.Namespace) -> Options:
    return Options(
        delivery=arguments.delivery,
        seconds=arguments.seconds,
        seed=arguments.seed,
        rate=arguments.rate,
        partitions=arguments.partitions,
        drain_seconds=arguments.drain_seconds,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of turmoil; the drain and the reading come after")
    parser.add_argument("--seed", type=int, default=1, help="decides what happens when, to whom, and what is sent")
    parser.add_argument("--delivery", choices=("exactly_once", "at_least_once"), default="exactly_once")
    parser.add_argument("--rate", type=float, default=Options.rate, help="records a second")
    parser.add_argument("--partitions", type=int, default=Options.partitions, help="of each topic")
    parser.add_argument("--drain-seconds", type=float, default=Options.drain_seconds, help="bound on the drain")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--keep", action="store_true", help="keep the logs of a good run too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
