"""Memory of `review-consumer run` that starts on a backlog, with the local engine, on a broker of its own.

    python -m tests.benchmarks.backlog --records 500000

Prints the resident memory every few seconds until the backlog is answered, or for `--seconds`, and its maximum;
`--json FILE` keeps it.
"""

import argparse
import asyncio
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import Producer

from deploy.kafka.jars import DEFAULT_CACHE
from deploy.kafka.sources import java_broker
from schemas.codec import encode_document
from schemas.topics import TopicNames

DATA = Path(__file__).parents[2] / "data" / "nsmc_reviews.jsonl"
PARTITIONS = 4
LOOK_SECONDS = 5.0
IN_FLIGHT = 20_000
GROUP = "backlog"


def main() -> None:
    """Fill the topic, start the consumer, watch it."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.backlog", description=__doc__)
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--restaurants", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=1800.0, help="look on for so long, or until all is answered")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    broker = java_broker(DEFAULT_CACHE)
    with tempfile.TemporaryDirectory(prefix="backlog-") as folder:
        try:
            broker.start()
            found = asyncio.run(_measured(broker.bootstrap_servers, Path(folder), options))
        finally:
            broker.close()
    print(json.dumps(found, indent=1))
    if options.json:
        options.json.write_text(json.dumps(found), encoding="utf-8")


async def _measured(address: str, folder: Path, options: argparse.Namespace) -> dict[str, object]:
    environment = os.environ | {
        "KAFKA_BOOTSTRAP_SERVERS": address,
        "KAFKA_GROUP_ID": GROUP,
        "STATE_DIR": str(folder),
        "METRICS_PORT": "0",
        "SUMMARY_MIN_REVIEWS": "1000000",
        "SUMMARY_MAX_AGE_SECONDS": "86400",
    }
    command = [sys.executable, "-m", "consumer.cli"]
    create = [*command, "topics", "create", "--partitions", str(PARTITIONS)]
    await asyncio.to_thread(subprocess.run, create, env=environment, check=True, stdout=subprocess.DEVNULL)
    await asyncio.to_thread(_fill, address, options)
    process = _started([*command, "run"], environment, folder / "consumer.log")
    try:
        curve = await _watched(address, process, options)
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 60)
    return {"records": options.records, "most_mb": max(mb for _, _, mb in curve), "seconds_records_mb": curve}


def _started(command: list[str], environment: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as sink:
        return subprocess.Popen(command, env=environment, stderr=sink)


def _fill(address: str, options: argparse.Namespace) -> None:
    topic = TopicNames().reviews  # reads the environment: once
    producer = Producer({"bootstrap.servers": address, "partitioner": "murmur2_random", "linger.ms": 20})
    for number, (key, value) in enumerate(_reviews(options.records, options.restaurants)):
        producer.produce(topic, key=key, value=value)
        if number % IN_FLIGHT == 0:
            producer.flush(60)
    if left := producer.flush(60):
        raise RuntimeError(f"{left} records were not acknowledged")


def _reviews(count: int, restaurants: int) -> Iterator[tuple[bytes, bytes]]:
    """Real texts, one after the other and again, numbered anew."""
    texts = [json.loads(line)["content"] for line in DATA.read_text("utf-8").splitlines()]
    for number, text in zip(range(count), itertools.cycle(texts), strict=False):
        restaurant = number % restaurants
        event = {"review_id": number, "restaurant_id": restaurant, "content": text}
        yield str(restaurant).encode(), encode_document(event)


async def _watched(
    address: str, process: "subprocess.Popen[bytes]", options: argparse.Namespace
) -> list[tuple[float, int, float]]:
    """(seconds, records committed, resident MB) until all are committed."""
    began, curve = time.monotonic(), list[tuple[float, int, float]]()
    consumer = AIOKafkaConsumer(bootstrap_servers=address, group_id=GROUP, enable_auto_commit=False)
    places = [TopicPartition(TopicNames().reviews, n) for n in range(PARTITIONS)]
    async with consumer:
        while not curve or (curve[-1][1] < options.records and curve[-1][0] < options.seconds):
            await asyncio.sleep(LOOK_SECONDS)
            seconds = time.monotonic() - began
            if process.poll() is not None:
                raise RuntimeError(f"the consumer ended with {process.returncode}, {curve[-1:]}")
            done = sum([await consumer.committed(place) or 0 for place in places])
            curve.append((round(seconds), done, round(_resident_mb(process.pid), 1)))
            print(f"{seconds:6.0f} s {done:9,} records {curve[-1][2]:7.1f} MB", file=sys.stderr, flush=True)
    return curve


def _resident_mb(pid: int) -> float:
    """VmRSS of /proc/PID/status."""
    for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} has no resident memory")


if __name__ == "__main__":
    main()
