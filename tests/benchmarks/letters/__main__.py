"""Time and peak of memory of `review-consumer dlq list` and `replay` on many dead letters, on a broker of its own.

python -m tests.benchmarks.letters --letters 1000000
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from consumer.errors import DeadLetter
from consumer.pipeline.outputs import dead_letter
from deploy.kafka.jars import DEFAULT_CACHE
from deploy.kafka.sources import java_broker
from schemas.topics import TopicNames
from tests.integration.scripted import review
from tests.unit.records import FakeRecord

PARTITIONS = 4
SECONDS = 1800
REASONS = ("engine_error", "engine_timeout", "not_json", "wrong_key")
NAMES = {name: str(field.default) for name, field in TopicNames.model_fields.items()}


def main() -> int:
    """Write the letters, list them, replay a quarter, then the rest, then nothing; 1 where the counts are wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.letters", description=__doc__)
    parser.add_argument("--letters", type=int, default=1_000_000)
    count = parser.parse_args().letters
    broker = java_broker(DEFAULT_CACHE)
    try:
        broker.start()
        environment = os.environ | {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers}
        _command(environment, "topics", "create", "--partitions", str(PARTITIONS))
        asyncio.run(_fill(broker.bootstrap_servers, count))
        print(f"{'':30}{'s':>8}{'peak MB':>9}")
        listed = json.loads(_timed(environment, "list of all", "dlq", "list", "--json"))
        _timed(environment, "replay of one reason", "dlq", "replay", "--yes", "--reason", REASONS[0])
        _timed(environment, "replay of the rest", "dlq", "replay", "--yes")
        last = _timed(environment, "replay of nothing", "dlq", "replay", "--yes")
        back = asyncio.run(_count(broker.bootstrap_servers, NAMES["reviews"]))
    finally:
        broker.close()
    print(f"{sum(row['letters'] for row in listed)} letters, {back} records came back; {last.strip().splitlines()[-1]}")
    return 0 if sum(row["letters"] for row in listed) == back == count else 1


async def _fill(address: str, count: int) -> None:
    """Letters of good reviews, reasons in turn."""
    producer = AIOKafkaProducer(bootstrap_servers=address, max_batch_size=500_000, compression_type="zstd")
    async with producer:
        batch, place = producer.create_batch(), 0
        for n in range(count):
            key, value = review(n % 1000, n)
            record = FakeRecord(NAMES["reviews"], n % PARTITIONS, n, 1_780_000_000_000 + n, key, value)
            made = dead_letter(NAMES["dlq"], record, DeadLetter(REASONS[n % len(REASONS)], "why"), 1, time.time())
            line = {"timestamp": int(time.time() * 1000), "key": key, "value": value, "headers": list(made.headers)}
            if batch.append(**line) is None:
                await producer.send_batch(batch, NAMES["dlq"], partition=place % PARTITIONS)
                batch, place = producer.create_batch(), place + 1
                batch.append(**line)
        await (await producer.send_batch(batch, NAMES["dlq"], partition=place % PARTITIONS))


async def _count(address: str, topic: str) -> int:
    """Records that a reader of committed ones sees."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=address, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    async with consumer:
        places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        found = 0
        while any([await consumer.position(place) < ends[place] for place in places]):
            found += sum(map(len, (await consumer.getmany(timeout_ms=500)).values()))
    return found


def _timed(environment: dict[str, str], name: str, *arguments: str) -> str:
    began = time.monotonic()
    said, peak = _command(environment, *arguments)
    print(f"{name:30}{time.monotonic() - began:>8.1f}{peak / 1024:>9.0f}", flush=True)
    return said


def _command(environment: dict[str, str], *arguments: str) -> tuple[str, int]:
    """Run `review-consumer ...`; what it says, and its peak of resident memory in KiB."""
    measured = (
        "import resource, sys; from consumer.cli import main\ntry:\n    main()\nfinally:\n    sys.stderr.write(str("
    )
    measured += "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))"
    done = subprocess.run(
        [sys.executable, "-c", measured, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    return done.stdout, int(done.stderr.strip().splitlines()[-1])


if __name__ == "__main__":
    sys.exit(main())
