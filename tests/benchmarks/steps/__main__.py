"""What each step of a record's way costs: a member on a backlog, sampled by py-spy.

    python -m tests.benchmarks.steps [--records 100000] [--seconds 20] [--keep]

Needs py-spy (extra `[bench]`, `make bench`). The engine answers at once, so what is seen is ours, and Kafka's client.
Processor time a record is that of the process between two looks, by the records that it committed in between; the steps
share it as they share the samples.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer

from deploy.kafka.jars import DEFAULT_CACHE
from deploy.kafka.sources import java_broker
from tests.benchmarks.keeping import keep
from tests.benchmarks.plumbing.field import NO_SUMMARIES, committed, load, process
from tests.benchmarks.steps.attribution import steps
from tests.integration.world import World

PARTITIONS = 4
SAMPLES_A_SECOND = 250
LOOK_SECONDS, PATIENCE = 0.1, 120.0


def main() -> None:
    """Print a table a way of delivery, and keep it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=20, help="to look on; the backlog must last longer")
    parser.add_argument("--keep", action="store_true", help="write tests/benchmarks/results/steps.json")
    asked = parser.parse_args()
    broker = java_broker(DEFAULT_CACHE)
    figures = {}
    try:
        broker.start()
        for delivery in ("exactly_once", "at_least_once"):
            figures[delivery] = _run(broker.bootstrap_servers, delivery, asked.records, asked.seconds)
            _print(delivery, figures[delivery])
    finally:
        broker.close()
    if asked.keep:
        print(keep("steps", figures, ("aiokafka", "py-spy", "pydantic", "uvloop")))


def _run(address: str, delivery: str, records: int, seconds: int) -> dict[str, Any]:
    world = World(address, f"steps-{os.getpid()}-{delivery}.", PARTITIONS)
    asyncio.run(world.create())
    names, group = world.settings.topics, world.settings.delivery.kafka_group_id
    load(address, names.reviews, records)
    outside = Consumer({"bootstrap.servers": address, "group.id": group})

    def done() -> int:
        return committed(outside, names.reviews, PARTITIONS)

    with tempfile.TemporaryDirectory() as folder:
        more = NO_SUMMARIES | {"DELIVERY": delivery, "STATE_DIR": folder, "METRICS_PORT": "0"}
        with process(("tests.benchmarks.plumbing.ours",), world.environment(**more)) as running:
            until = time.monotonic() + PATIENCE
            while not done():
                if running.poll() is not None or time.monotonic() > until:
                    raise RuntimeError("the member commits nothing")
                time.sleep(LOOK_SECONDS)
            before = done(), _cpu(running.pid)
            samples = _sampled(running.pid, seconds, Path(folder) / "samples")
            after = done(), _cpu(running.pid)
    if after[0] >= records:
        raise RuntimeError(f"--records {records}: the backlog did not last for {seconds} s")
    cost = (after[1] - before[1]) / (after[0] - before[0]) * 1e6
    total = samples.total()
    shares = {step: count / total for step, count in samples.most_common()}
    return {"cpu_us_per_record": round(cost, 1), "steps": {s: round(cost * share, 1) for s, share in shares.items()}}


def _sampled(pid: int, seconds: int, file: Path) -> Any:
    """Of all threads, as long as they hold a processor."""
    spy = str(Path(sys.executable).with_name("py-spy"))
    rate = ("--rate", str(SAMPLES_A_SECOND), "--duration", str(seconds))
    command = (spy, "record", "--pid", str(pid), *rate, "--format", "raw", "--full-filenames", "--output", str(file))
    subprocess.run(
        command, check=True, timeout=seconds + PATIENCE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return steps(file.read_text("utf-8").splitlines())


def _cpu(pid: int) -> float:
    """Seconds of processor time: fields 14 and 15 of /proc/PID/stat, behind the name in brackets."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _print(delivery: str, figures: dict[str, Any]) -> None:
    print(f"{delivery}: {figures['cpu_us_per_record']:.0f} µs of processor time a record")
    for step, cost in figures["steps"].items():
        print(f"  {step:45}{cost:8.1f}")


if __name__ == "__main__":
    main()
