"""Where contestants run: topics and records on a broker, a process, and what can be seen from outside."""

import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from schemas.codec import encode_document

RESTAURANTS = 500
IN_FLIGHT = 50_000
"""Records written between two waits for the broker: half of what its client holds unless told otherwise."""
FLUSH_SECONDS, COUNT_SECONDS = 60.0, 600.0
DATA = Path(__file__).parents[2] / "data" / "nsmc_reviews.jsonl"
NO_SUMMARIES = {
    "SUMMARY_MIN_REVIEWS": "1000000",
    "SUMMARY_MIN_TOKENS": "1000000000",
    "SUMMARY_MAX_AGE_SECONDS": "86400",
    "CACHE_MAX_BYTES": "0",
    "LOG_LEVEL": "WARNING",
}
"""Settings of ours under which nothing but sentiment is asked."""


@contextmanager
def process(command: Sequence[str], environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """`python -m` of the command while inside; then told to stop, and killed if it does not."""
    running = subprocess.Popen((sys.executable, "-m", *command), env=environment, stdout=subprocess.DEVNULL)
    try:
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            running.wait(15)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def committed(group: Consumer, topic: str, partitions: int) -> int:
    """Records of a topic that a group has finished; 0 while nobody can say yet. `group` never joins it."""
    try:
        found = group.committed([TopicPartition(topic, number) for number in range(partitions)], 10)
    except KafkaException:
        return 0
    return sum(max(0, one.offset) for one in found)


def load(address: str, topic: str, records: int, restaurants: int = RESTAURANTS, first: int = 0) -> None:
    """Write `events`, each where murmur2 puts its key. Raises RuntimeError if the broker does not take them all."""
    producer = Producer({"bootstrap.servers": address, "linger.ms": 20, "partitioner": "murmur2"})
    for number, (key, value) in enumerate(events(records, restaurants, first), 1):
        producer.produce(topic, value, key=key)
        if number % IN_FLIGHT == 0:
            producer.flush(FLUSH_SECONDS)
    if left := producer.flush(FLUSH_SECONDS):
        raise RuntimeError(f"{left} records were not acknowledged")


def events(records: int, restaurants: int = RESTAURANTS, first: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of review events with real texts; ids count from `first`, restaurants go round."""
    texts = itertools.cycle(json.loads(line)["content"] for line in DATA.read_text("utf-8").splitlines())
    for number, text in zip(range(first, first + records), texts, strict=False):
        restaurant = number % restaurants
        event = {"review_id": number, "restaurant_id": restaurant, "content": text, "is_recommended": True}
        yield str(restaurant).encode(), encode_document(event)


def count(address: str, topic: str, partitions: int) -> int:
    """Committed records of a topic. Raises TimeoutError where its end does not come within COUNT_SECONDS."""
    settings = {"bootstrap.servers": address, "group.id": "count", "isolation.level": "read_committed"}
    consumer = Consumer({**settings, "enable.auto.commit": False, "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    found, ended, until = 0, 0, time.monotonic() + COUNT_SECONDS
    while ended < partitions:
        if time.monotonic() > until:
            raise TimeoutError(f"{found:,} records of {topic}, and no end")
        for record in consumer.consume(5000, 1.0):
            ended += record.error() is not None
            found += record.error() is None
    consumer.close()
    return found
