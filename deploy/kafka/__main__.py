"""`python -m deploy.kafka`: run a development broker, alone or around a command. See README.md."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from deploy.kafka import probe
from deploy.kafka.errors import BrokerFailed, Unavailable
from deploy.kafka.jars import DEFAULT_CACHE, resolve
from deploy.kafka.sources import VARIABLE, External, Kafka, open_kafka

USUAL_PORT: Final = 9092
COMMAND_STOP_SECONDS: Final = 30.0


class Stopped(BaseException):
    """SIGINT or SIGTERM came; its number is the one argument. As KeyboardInterrupt: nobody's to catch on the way."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do as the arguments say; return the exit status: 1 without a broker, with --exec the command's, else 0."""
    options = _parser().parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _raise_stopped)
    try:
        return _fetch(options.cache) if options.fetch_only else _serve(options)
    except (Unavailable, BrokerFailed) as reason:
        print(f"no broker: {reason}", file=sys.stderr)
        return 1
    except Stopped as stopped:
        return 128 + int(stopped.args[0]) if options.exec else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.kafka", description="Run a development broker.")
    parser.add_argument("--port", type=int, help=f"the clients' port (default: {USUAL_PORT} if free, else a free one)")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="folder for jars and logs (%(default)s)")
    parser.add_argument("--env-file", type=Path, help=f"while the broker runs, {VARIABLE}=... stands in this file")
    parser.add_argument("--fetch-only", action="store_true", help="only fetch Kafka's jars into the cache")
    parser.add_argument(
        "--exec", nargs=argparse.REMAINDER, metavar="CMD", help=f"run CMD with {VARIABLE} set, then stop the broker"
    )
    return parser


def _fetch(cache: Path) -> int:
    print(resolve(cache))
    return 0


def _serve(options: argparse.Namespace) -> int:
    with _opened(options.cache, _chosen_port(options.port)) as kafka, _written(options.env_file, kafka):
        out = sys.stderr if options.exec else sys.stdout  # with --exec, standard output is the command's
        print(f"{VARIABLE}={kafka.bootstrap_servers}", kafka.origin, sep="\n", file=out, flush=True)
        if options.exec:
            return _run(options.exec, kafka)
        return _wait(kafka)


def _chosen_port(wished: int | None) -> int:
    if wished is None:
        return USUAL_PORT if probe.is_free(USUAL_PORT) else probe.free_port()
    if not probe.is_free(wished):
        raise BrokerFailed(f"port {wished} is in use")
    return wished


@contextlib.contextmanager
def _opened(cache: Path, port: int) -> Iterator[Kafka]:
    """Hold a Kafka; it is closed whatever happens, and a second signal does not cut that short."""
    kafka = open_kafka(os.environ, cache, port)
    try:
        yield kafka
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        kafka.close()


@contextlib.contextmanager
def _written(path: Path | None, kafka: Kafka) -> Iterator[None]:
    """Keep the address in the file while the broker runs; the file appears whole."""
    if path is None:
        yield
        return
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_text(f"{VARIABLE}={kafka.bootstrap_servers}\n", encoding="utf-8")
    partial.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _wait(kafka: Kafka) -> int:
    """Wait for a signal; where nothing was started there is nothing to wait for."""
    if isinstance(kafka, External):
        return 0
    while kafka.is_running():
        time.sleep(0.5)
    raise BrokerFailed(f"it ended by itself: {kafka.origin}")


def _run(command: list[str], kafka: Kafka) -> int:
    """Run the command to its end; a signal to us is passed on to it."""
    environment = dict(os.environ) | {VARIABLE: kafka.bootstrap_servers}
    try:
        process = subprocess.Popen(command, env=environment)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    try:
        status = process.wait()
    except Stopped as stopped:
        _end(process, int(stopped.args[0]))
        raise
    return status if status >= 0 else 128 - status


def _end(process: subprocess.Popen[bytes], number: int) -> None:
    process.send_signal(number)
    try:
        process.wait(COMMAND_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _raise_stopped(number: int, _frame: FrameType | None) -> NoReturn:
    raise Stopped(number)


if __name__ == "__main__":
    sys.exit(main())
