"""Time and memory of `review-consumer run` that restores one lane, on a broker of its own.

    python -m tests.benchmarks.restore --reviews 1000000

Writes a changelog of so many reviews and their restaurants into one partition, then starts the consumer three times:
without any state, with an empty STATE_DIR, and with the local store that this has left. Each time it prints how many
records were read and how long that took, the seconds from the first line of the log until the lane takes records, and
the process's peak of resident memory until then.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import Producer

from consumer.stream.changelog import Entry, entries, mark_entry
from consumer.stream.place import LaneMark
from consumer.stream.state import Changes, RestaurantState, ReviewState, SummaryState, content_hash
from deploy.kafka.jars import DEFAULT_CACHE
from deploy.kafka.sources import java_broker
from schemas.base import Sentiment
from schemas.findings import Aspect, Evidence
from schemas.topics import TopicNames, state_topic

DATA = Path(__file__).parents[2] / "data" / "nsmc_reviews.jsonl"
GROUP = "restore"
PENDING = 5
"""Reviews a restaurant whose text still waits for a summary."""
OPEN_SECONDS = 1800.0
LOOK_SECONDS = 0.05
IN_FLIGHT = 20_000


def main() -> None:
    """Fill the changelog, restore it, restore it again."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.restore", description=__doc__)
    parser.add_argument("--reviews", type=int, default=1_000_000)
    parser.add_argument("--reviews-a-restaurant", type=int, default=100)
    options = parser.parse_args()
    broker = java_broker(DEFAULT_CACHE)
    with tempfile.TemporaryDirectory(prefix="restore-") as folder:
        try:
            broker.start()
            environment = _environment(broker.bootstrap_servers, Path(folder))
            _topics(environment)
            print(f"{'':28}{'records':>10}{'restore s':>11}{'to open s':>11}{'peak MB':>9}")
            _print("without state", _start(environment, Path(folder)))
            asyncio.run(_commit(broker.bootstrap_servers))
            written = _fill(broker.bootstrap_servers, options.reviews, options.reviews_a_restaurant)
            _print("from the changelog", _start(environment, Path(folder)))
            _print("from the local store", _start(environment, Path(folder)))
            store = sum(file.stat().st_size for file in Path(folder, "state").rglob("*.sqlite3*"))
            print(f"{written / 1e6:.0f} MB of keys and values in the changelog, {store / 1e6:.0f} MB in the store")
        finally:
            broker.close()


def _environment(address: str, folder: Path) -> dict[str, str]:
    return os.environ | {
        "KAFKA_BOOTSTRAP_SERVERS": address,
        "KAFKA_GROUP_ID": GROUP,
        "STATE_DIR": str(folder / "state"),
        "METRICS_PORT": "0",
        "LOG_FORMAT": "json",
        "SUMMARY_MAX_AGE_SECONDS": "86400",  # what is measured is the restore, not the summaries that come behind it
    }


def _topics(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "consumer.cli", "topics", "create", "--partitions", "1"]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


async def _commit(address: str) -> None:
    """The group stands where the state's mark says."""
    place = TopicPartition(TopicNames.model_construct().reviews, 0)
    async with AIOKafkaConsumer(bootstrap_servers=address, group_id=GROUP, enable_auto_commit=False) as consumer:
        consumer.assign([place])
        await consumer.commit({place: 0})


def _fill(address: str, reviews: int, each: int) -> int:
    """Write the changelog; its bytes."""
    producer = Producer({"bootstrap.servers": address, "compression.type": "zstd", "linger.ms": 50})
    topic, written = state_topic(GROUP, TopicNames.model_construct().reviews), 0
    for number, (key, value) in enumerate(_records(reviews, each)):
        written += len(key) + len(value or b"")
        producer.produce(topic, key=key, value=value, partition=0)
        producer.poll(0)
        if number % IN_FLIGHT == 0:
            producer.flush(60)
    if producer.flush(60):
        raise SystemExit("the broker did not take the changelog")
    return written


def _records(reviews: int, each: int) -> Iterator[Entry]:
    texts = [json.loads(line)["content"] for line in DATA.read_text(encoding="utf-8").splitlines()]
    for restaurant in range((reviews + each - 1) // each):
        count = min(each, reviews - restaurant * each)
        name = f"restaurant-{restaurant}"
        states: dict[tuple[str, str], ReviewState | None] = {}
        for number in range(count):
            text = texts[(restaurant + number) % len(texts)]
            states[name, str(number)] = _review(number, text, waits=number >= count - PENDING)
        yield from entries(Changes({name: _restaurant(name, count)}, states))
    yield mark_entry(LaneMark(0, 1, 1))


def _review(number: int, text: str, *, waits: bool) -> ReviewState:
    return ReviewState(
        number,
        1,
        1_700_000_000_000 + number,
        content_hash(text),
        Sentiment.POSITIVE,
        0.987654321,
        text=text if waits else None,
        supports=() if waits else (("positive", "food"),),
        offset=number,
    )


def _restaurant(name: str, count: int) -> RestaurantState:
    quotes = tuple(Evidence(review_id=n, quote="음식이 정말 맛있고 친절합니다") for n in range(3))
    aspects = tuple(
        Aspect(aspect=aspect, claim="음식이 맛있다고 합니다.", support_count=count, evidence=quotes)
        for aspect in ("food", "service", "price", "mood")
    )
    summary = SummaryState("음식이 맛있고 친절한 곳입니다." * 4, aspects, aspects, "ko", 3, None)
    return RestaurantState(name, count, pending=PENDING, pending_since=time.time(), summary=summary, summaries=3)


def _start(environment: dict[str, str], folder: Path) -> dict[str, float]:
    """Run the consumer until the lane takes records; what its log and the system say of that."""
    log = folder / f"log-{time.monotonic_ns()}"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "consumer.cli", "run"]
        with subprocess.Popen(command, env=environment, stderr=out) as process:
            peak = _watched(process, log)
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    return _figures(log, peak)


def _watched(process: "subprocess.Popen[bytes]", log: Path) -> float:
    """Wait until the lane is open; the peak of resident memory in MB."""
    deadline, peak = time.monotonic() + OPEN_SECONDS, 0.0
    while not _line(log, "opened"):
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(log.read_text(encoding="utf-8")[-2000:])
        time.sleep(LOOK_SECONDS)
        status = Path(f"/proc/{process.pid}/status")
        if status.exists() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
            peak = int(found[1]) / 1024
    return peak


def _figures(log: Path, peak: float) -> dict[str, float]:
    first = json.loads(log.read_text(encoding="utf-8").splitlines()[0])["timestamp"]
    opened, restored = _line(log, "opened") or {}, _line(log, "restored") or {}
    to_open = datetime.fromisoformat(str(opened["timestamp"])) - datetime.fromisoformat(first)
    return {
        "records": float(str(restored.get("records", 0))),
        "seconds": float(str(restored.get("seconds", 0))),
        "to_open": to_open.total_seconds(),
        "peak": peak,
    }


def _line(log: Path, event: str) -> dict[str, object] | None:
    """The first such line about the reviews' lane."""
    for line in log.read_text(encoding="utf-8").splitlines():
        if line.startswith("{") and line.endswith("}"):
            said: dict[str, object] = json.loads(line)
            if said.get("event") == event and said.get("topic") == TopicNames.model_construct().reviews:
                return said
    return None


def _print(what: str, found: dict[str, float]) -> None:
    figures = f"{found['records']:>10.0f}{found['seconds']:>11.2f}{found['to_open']:>11.2f}{found['peak']:>9.0f}"
    print(f"{what:28}{figures}", flush=True)


if __name__ == "__main__":
    main()
