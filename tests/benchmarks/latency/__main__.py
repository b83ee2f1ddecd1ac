"""From a review event to its result, in an open loop: arrivals do not wait for answers.

    python -m tests.benchmarks.latency [--capacity 5000] [--seconds 30] [--shares 0.25 0.5 0.8] [--keep]

Events arrive at random (Poisson) at each share of the capacity: what broker, member and this program do together on
the same machine, measured first, for each way of delivery, by a flood that also warms them. The engine answers at once,
so what is seen is ours and Kafka's. Times are taken in one process, from when an event was to arrive to the poll that
brings its result (`read_committed`). The split into queue, engine and publish is of the member's own histograms: their
means.
"""

import argparse
import asyncio
import os
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from math import inf
from urllib.request import urlopen

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from deploy.kafka.jars import DEFAULT_CACHE
from deploy.kafka.probe import free_port
from deploy.kafka.sources import java_broker
from tests.benchmarks.keeping import keep
from tests.benchmarks.plumbing.field import NO_SUMMARIES, events, process
from tests.integration.world import World

PARTITIONS = 4
WARM_SECONDS = 10.0
"""At the start of each run, not counted."""
FLOOD = 60_000
"""Events that are sent at once to see how many a second are answered: fewer than a client holds by default."""
PATIENCE = 60.0
STAGES = ("queue", "engine", "publish")
PERCENTILES = (0.5, 0.99, 0.999)


@dataclass(frozen=True, slots=True)
class Found:
    """One run. Milliseconds."""

    delivery: str
    share: float
    """Of the capacity."""
    arrivals_per_second: float
    results: int
    p50: float
    p99: float
    p999: float
    stages: dict[str, float]
    """Mean of each, of this run."""


@dataclass
class Clock:
    """When each event was sent, and how long its result took."""

    sent: dict[int, float] = field(default_factory=dict)
    took: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    """When each result was seen."""
    begun: float = 0.0

    @property
    def rate(self) -> float:
        """Results a second, from the first to the last."""
        return (len(self.answered) - 1) / (self.answered[-1] - self.answered[0])


def main() -> None:
    """Print a line a run, and keep them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capacity", type=float, help="events a second, instead of measuring it")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--shares", type=float, nargs="*", default=[0.25, 0.5, 0.8])
    parser.add_argument("--keep", action="store_true", help="write tests/benchmarks/results/latency.json")
    asked = parser.parse_args()
    broker = java_broker(DEFAULT_CACHE)
    found = []
    try:
        broker.start()
        for delivery in ("at_least_once", "exactly_once"):
            capacity = asked.capacity or _flooded(broker.bootstrap_servers, delivery)
            for share in asked.shares:
                one = _run(broker.bootstrap_servers, delivery, share, capacity, asked.seconds)
                found.append(one)
                split = ", ".join(f"{stage} {mean:.1f}" for stage, mean in one.stages.items())
                print(
                    f"{delivery:14} {share:4.0%} {one.arrivals_per_second:8,.0f}/s  p50 {one.p50:6.1f} ms  "
                    f"p99 {one.p99:6.1f}  p99.9 {one.p999:6.1f}   means: {split}",
                    flush=True,
                )
    finally:
        broker.close()
    if asked.keep:
        print(keep("latency", [asdict(one) for one in found], ("aiokafka", "confluent-kafka", "uvloop")))


def _flooded(address: str, delivery: str) -> float:
    """Results a second where everything arrives at once."""
    clock, _ = _answered(address, delivery, inf, FLOOD)
    print(f"{delivery:14} capacity {clock.rate:,.0f}/s", flush=True)
    return clock.rate


def _run(address: str, delivery: str, share: float, capacity: float, seconds: float) -> Found:
    rate = share * capacity
    clock, stages = _answered(address, delivery, rate, int(rate * (seconds + WARM_SECONDS)))
    took = sorted(clock.took)
    p50, p99, p999 = (1000 * took[int(part * (len(took) - 1))] for part in PERCENTILES)
    return Found(delivery, share, rate, len(took), p50, p99, p999, stages)


def _answered(address: str, delivery: str, rate: float, count: int) -> tuple[Clock, dict[str, float]]:
    """So many events, each answered. And the mean of each stage, ms."""
    world = World(address, f"latency-{os.getpid()}-{delivery}-{rate:.0f}.", PARTITIONS)
    asyncio.run(world.create())
    names, port = world.settings.topics, free_port()
    with tempfile.TemporaryDirectory() as folder:
        more = NO_SUMMARIES | {"DELIVERY": delivery, "STATE_DIR": folder, "METRICS_PORT": str(port)}
        with process(("tests.benchmarks.plumbing.ours",), world.environment(**more)):
            _until_ready(port)
            clock = Clock()
            reading = threading.Thread(target=_read, args=(address, names.sentiment, clock))
            before = _means(port)
            reading.start()
            _send(address, names.reviews, rate, count, clock)
            reading.join(PATIENCE)
            after = _means(port)
    if clock.sent:
        raise RuntimeError(f"{len(clock.sent)} events have no result")
    return clock, {stage: 1000 * _between(before[stage], after[stage]) for stage in STAGES}


def _send(address: str, topic: str, rate: float, count: int, clock: Clock) -> None:
    """Poisson arrivals; what is late is sent at once, and its time runs from when it should have arrived."""
    producer = Producer({"bootstrap.servers": address, "linger.ms": 2, "partitioner": "murmur2"})
    chance = random.Random(1)
    clock.begun = due = time.perf_counter()
    for number, (key, value) in enumerate(events(count)):
        due += chance.expovariate(rate)
        while (wait := due - time.perf_counter()) > 0:
            time.sleep(min(wait, 0.001))
            producer.poll(0)
        clock.sent[number] = due
        producer.produce(topic, value, key=key)
    producer.flush()


def _read(address: str, topic: str, clock: Clock) -> None:
    settings = {"bootstrap.servers": address, "group.id": "latency", "isolation.level": "read_committed"}
    consumer = Consumer({**settings, "enable.auto.commit": False, "fetch.wait.max.ms": 5})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    idle_since = time.perf_counter()
    while time.perf_counter() < idle_since + 10:
        for record in consumer.consume(500, 0.005):
            if record.error():
                continue
            idle_since = now = time.perf_counter()
            clock.answered.append(now)
            sent = clock.sent.pop(orjson.loads(record.value() or b"{}")["review_id"])
            if sent > clock.begun + WARM_SECONDS:
                clock.took.append(now - sent)
    consumer.close()


def _until_ready(port: int) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError("the member is not ready")


def _means(port: int) -> dict[str, tuple[float, float]]:
    """Sum and count of each stage's histogram, of reviews."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
        text = page.read().decode()
    found = dict.fromkeys(STAGES, (0.0, 0.0))
    for stage, part, value in _samples(text):
        total, count = found[stage]
        found[stage] = (total + value, count) if part == "sum" else (total, count + value)
    return found


def _samples(text: str) -> Iterator[tuple[str, str, float]]:
    for family in text_string_to_metric_families(text):
        for stage in STAGES:
            if family.name == f"review_consumer_{stage}_seconds":
                for sample in family.samples:
                    part = sample.name.rpartition("_")[2]
                    if part in {"sum", "count"}:
                        yield stage, part, sample.value


def _between(before: tuple[float, float], after: tuple[float, float]) -> float:
    return (after[0] - before[0]) / max(1.0, after[1] - before[1])


if __name__ == "__main__":
    main()
