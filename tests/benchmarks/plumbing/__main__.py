"""Our plumbing against the peers' and against bare loops, on one broker, with an engine that answers at once.

    python -m tests.benchmarks.plumbing [--records 100000] [--rounds 5] [--only NAME ...]

Needs the packages of the extra `[bench]` (`make bench`). Every contestant is a process of its own; it finds the same
records (NSMC texts as review events, 4 partitions) in a fresh topic, and commits where it stands in its group. Its rate
is taken between the first commit that is seen and the one that covers all, so that its start does not count. They
alternate, the order is turned round in every second round, and ratios are taken round by round.
"""

import argparse
import asyncio
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

from confluent_kafka import Consumer

from deploy.kafka.jars import DEFAULT_CACHE
from deploy.kafka.sources import java_broker
from tests.benchmarks.keeping import keep
from tests.benchmarks.plumbing.field import NO_SUMMARIES, committed, count, load, process
from tests.benchmarks.ratios import paired
from tests.integration.world import World

PARTITIONS = 4
LOOK_SECONDS, PATIENCE = 0.02, 600.0
HERE = "tests.benchmarks.plumbing"
PACKAGES = ("aiokafka", "confluent-kafka", "faststream", "quixstreams", "uvloop")


@dataclass(frozen=True, slots=True)
class Contestant:
    """How it is called, and started."""

    name: str
    command: tuple[str, ...]
    delivery: str = "at_least_once"


EXACTLY, LEAST = "ours, exactly once", "ours, at least once"
QUIX_EXACTLY, QUIX_LEAST = "Quix Streams, exactly once", "Quix Streams, at least once"
FASTSTREAM = "FastStream, batches"
CONTESTANTS = (
    Contestant(EXACTLY, (f"{HERE}.ours",), "exactly_once"),
    Contestant(LEAST, (f"{HERE}.ours",)),
    Contestant(QUIX_EXACTLY, (f"{HERE}.quix", "exactly-once"), "exactly_once"),
    Contestant(QUIX_LEAST, (f"{HERE}.quix", "at-least-once")),
    Contestant(FASTSTREAM, (f"{HERE}.faststream_batch",)),
    Contestant("aiokafka loop", (f"{HERE}.aiokafka_loop",)),
    Contestant("confluent-kafka loop", (f"{HERE}.confluent_loop",)),
)
PAIRS = (
    (EXACTLY, QUIX_EXACTLY),
    *((LEAST, other) for other in (QUIX_LEAST, FASTSTREAM, "aiokafka loop", "confluent-kafka loop")),
)


@dataclass(frozen=True, slots=True)
class Run:
    """One contestant in one round."""

    records_per_second: float
    cpu_seconds: float
    """Of its process, start and all."""
    results: int


def main() -> None:
    """Print a table and the ratios, and keep them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=[], help="parts of contestants' names")
    parser.add_argument("--keep", action="store_true", help="write tests/benchmarks/results/plumbing.json")
    asked = parser.parse_args()
    chosen = [one for one in CONTESTANTS if not asked.only or any(part in one.name for part in asked.only)]
    broker = java_broker(DEFAULT_CACHE)
    try:
        broker.start()
        runs = _rounds(broker.bootstrap_servers, chosen, asked.records, asked.rounds)
    finally:
        broker.close()
    ratios = _report(runs)
    if asked.keep:
        figures = {"records": asked.records, "runs": {n: [asdict(r) for r in rs] for n, rs in runs.items()}}
        print(keep("plumbing", figures | {"ratios": ratios}, PACKAGES))


def _rounds(address: str, chosen: Sequence[Contestant], records: int, rounds: int) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {one.name: [] for one in chosen}
    for number in range(rounds):
        for one in chosen[:: -1 if number % 2 else 1]:
            run = _run(address, one, records, f"plumbing-{os.getpid()}-{number}-{chosen.index(one)}.")
            runs[one.name].append(run)
            print(
                f"{number + 1}  {one.name:28} {run.records_per_second:10,.0f} records/s  {run.cpu_seconds:.1f} s",
                flush=True,
            )
    return runs


def _run(address: str, contestant: Contestant, records: int, prefix: str) -> Run:
    world = World(address, prefix, PARTITIONS)
    asyncio.run(world.create())
    names, group = world.settings.topics, world.settings.delivery.kafka_group_id
    load(address, names.reviews, records)
    with tempfile.TemporaryDirectory() as folder:
        more = NO_SUMMARIES | {"DELIVERY": contestant.delivery, "STATE_DIR": folder, "METRICS_PORT": "0"}
        before = _cpu()
        with process(contestant.command, world.environment(**more)) as running:
            rate = _rate(address, group, names.reviews, records, running)
        used = _cpu() - before
    results = count(address, names.sentiment, PARTITIONS)
    if results < records or (contestant.delivery == "exactly_once" and results != records):
        raise RuntimeError(f"{contestant.name}: {results} results of {records} records")
    return Run(rate, used, results)


def _rate(address: str, group: str, topic: str, records: int, running: "subprocess.Popen[bytes]") -> float:
    """Records a second from the first commit that is seen to the last."""
    outside, until = Consumer({"bootstrap.servers": address, "group.id": group}), time.monotonic() + PATIENCE
    first: tuple[float, int] | None = None
    while time.monotonic() < until:
        if running.poll() is not None:
            raise RuntimeError(f"it has ended with status {running.returncode}")
        now, done = time.perf_counter(), committed(outside, topic, PARTITIONS)
        if done and first is None:
            first = now, done
        if done >= records and first is not None:
            if first[1] >= records / 2:
                raise RuntimeError("too few records to see a rate: half were done by the first commit that was seen")
            return (done - first[1]) / (now - first[0])
        time.sleep(LOOK_SECONDS)
    raise TimeoutError(f"not done within {PATIENCE:g} s")


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _report(runs: dict[str, list[Run]]) -> dict[str, str]:
    print(f"{'median of rounds':30}{'records/s':>12}{'CPU s':>8}")
    for name, found in runs.items():
        rate, cpu = median(r.records_per_second for r in found), median(r.cpu_seconds for r in found)
        print(f"{name:30}{rate:>12,.0f}{cpu:>8.1f}")
    ratios = {}
    for one, other in PAIRS:
        if one in runs and other in runs:
            rates = [[run.records_per_second for run in runs[name]] for name in (one, other)]
            ratios[f"{one} / {other}"] = str(paired(*rates))
            print(f"{one} / {other}: {ratios[f'{one} / {other}']}")
    return ratios


if __name__ == "__main__":
    main()
