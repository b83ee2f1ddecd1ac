"""Our plumbing against the peers' and against bare loops, on one broker, with an engine that answers at once.

    python -m tests.benchmarks.plumbing [--records 100000] [--rounds 5] [--only NAME ...]

Needs the packages of the extra `[bench]` (`make bench`). Every contestant is a process of its own; it finds the same
records (NSMC texts as review events, 4 partitions) in a fresh topic, and commits where it stands in its group. Its rate
is taken between the first commit that is seen and the one that covers all, so that its start does not count. They
alternate, the order is turned round in every second round, and ratios are taken round by round.
"""

import argparse
import asyncio
import itertools
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from deploy.kafka.jars import DEFAULT_CACHE
from deploy.kafka.sources import java_broker
from schemas.codec import encode_document
from tests.benchmarks.keeping import keep
from tests.benchmarks.ratios import paired
from tests.integration.world import World

PARTITIONS, RESTAURANTS = 4, 500
LOOK_SECONDS, PATIENCE = 0.02, 600.0
DATA = Path(__file__).parents[2] / "data" / "nsmc_reviews.jsonl"
HERE = "tests.benchmarks.plumbing"
NO_SUMMARIES = {
    "SUMMARY_MIN_REVIEWS": "1000000",
    "SUMMARY_MIN_TOKENS": "1000000000",
    "SUMMARY_MAX_AGE_SECONDS": "86400",
    "CACHE_MAX_BYTES": "0",
}
PACKAGES = ("aiokafka", "confluent-kafka", "faststream", "quixstreams", "uvloop")


@dataclass(frozen=True, slots=True)
class Contestant:
    """How it is called, and started."""

    name: str
    command: tuple[str, ...]
    delivery: str = "at_least_once"
    state: bool = True


EXACTLY, LEAST = "ours, exactly once", "ours, at least once"
QUIX_EXACTLY, QUIX_LEAST = "Quix Streams, exactly once", "Quix Streams, at least once"
CONTESTANTS = (
    Contestant(EXACTLY, (f"{HERE}.ours",), "exactly_once"),
    Contestant(LEAST, (f"{HERE}.ours",)),
    Contestant(QUIX_EXACTLY, (f"{HERE}.quix", "exactly-once"), "exactly_once"),
    Contestant(QUIX_LEAST, (f"{HERE}.quix", "at-least-once")),
    Contestant("FastStream, batches", (f"{HERE}.faststream_batch",), state=False),
    Contestant("aiokafka loop", (f"{HERE}.aiokafka_loop",), state=False),
    Contestant("confluent-kafka loop", (f"{HERE}.confluent_loop",), state=False),
)
PAIRS = ((EXACTLY, QUIX_EXACTLY), (LEAST, QUIX_LEAST), (LEAST, "aiokafka loop"), (LEAST, "confluent-kafka loop"))


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
    _load(address, names.reviews, records)
    with tempfile.TemporaryDirectory() as folder:
        more = {"DELIVERY": contestant.delivery, "STATE_DIR": folder, "METRICS_PORT": "0", "LOG_LEVEL": "WARNING"}
        more |= NO_SUMMARIES
        before = _cpu()
        with _process(contestant, world.environment(**more)) as process:
            rate = _rate(address, group, names.reviews, records, process)
        used = _cpu() - before
    results = _count(address, names.sentiment)
    if results < records or (contestant.delivery == "exactly_once" and results != records):
        raise RuntimeError(f"{contestant.name}: {results} results of {records} records")
    return Run(rate, used, results)


@contextmanager
def _process(contestant: Contestant, environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    module, *arguments = contestant.command
    command = (sys.executable, "-m", module, *arguments)
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _rate(address: str, group: str, topic: str, records: int, process: "subprocess.Popen[bytes]") -> float:
    """Records a second from the first commit that is seen to the last."""
    admin, until = AdminClient({"bootstrap.servers": address}), time.monotonic() + PATIENCE
    first: tuple[float, int] | None = None
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"it has ended with status {process.returncode}")
        now, done = time.perf_counter(), _committed(admin, group, topic)
        if done and first is None:
            first = now, done
        if done >= records and first is not None:
            if first[1] >= records / 2:
                raise RuntimeError("too few records to see a rate: half were done by the first commit that was seen")
            return (done - first[1]) / (now - first[0])
        time.sleep(LOOK_SECONDS)
    raise TimeoutError(f"not done within {PATIENCE:g} s")


def _committed(admin: AdminClient, group: str, topic: str) -> int:
    wanted = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    found = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, wanted)])[group].result(30)
    return sum(max(0, one.offset) for one in found.topic_partitions)


def _load(address: str, topic: str, records: int) -> None:
    """Real texts, numbered anew, of RESTAURANTS restaurants; each where murmur2 puts its key."""
    producer = Producer(
        {"bootstrap.servers": address, "linger.ms": 20, "partitioner": "murmur2", "queue.buffering.max.messages": 10**6}
    )
    texts = itertools.cycle(json.loads(line)["content"] for line in DATA.read_text("utf-8").splitlines())
    for number, text in zip(range(records), texts, strict=False):
        restaurant = number % RESTAURANTS
        event = {"review_id": number, "restaurant_id": restaurant, "content": text, "is_recommended": True}
        producer.produce(topic, encode_document(event), key=str(restaurant).encode())
    producer.flush()


def _count(address: str, topic: str) -> int:
    """Committed records of a topic."""
    settings = {"bootstrap.servers": address, "group.id": "count", "isolation.level": "read_committed"}
    consumer = Consumer({**settings, "enable.auto.commit": False, "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    found, ended = 0, 0
    while ended < PARTITIONS:
        for record in consumer.consume(5000, 1.0):
            ended += record.error() is not None
            found += record.error() is None
    consumer.close()
    return found


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
