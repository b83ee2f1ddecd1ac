"""Totals against ratings: NSMC's 100 movies as restaurants, through Kafka and `review-consumer run` with `local`.

    python -m tests.benchmarks.movies --data DIR

`DIR` is laid out as ../local_model/README.md says. All reviews are sent, with nothing but their text. The truth of a
movie is the share of ratings from 1 to 4 among those and the ones from 9 to 10; with it is compared the share of
negative reviews in its totals. Prints Pearson's correlation over the movies; `--json FILE` keeps both numbers of each.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import correlation

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.kafka.jars import DEFAULT_CACHE
from deploy.kafka.sources import java_broker
from schemas.codec import decode, encode_document
from schemas.results import SentimentTotals
from schemas.topics import TopicNames

PARTITIONS = 4
LOOK_SECONDS = 1.0
GROUP = "movies"
WORST, BEST = range(1, 5), range(9, 11)
OURS = ("KAFKA_", "TOPIC_", "VLLM_", "RETRY_", "ENGINE", "OPENAI_", "CALIBRATION_")

Ratios = Mapping[str, float]
"""By movie: a fraction."""


def main() -> None:
    """Send, wait, compare."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.movies", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder laid out as the local model's README says")
    parser.add_argument("--seconds", type=float, default=600.0, help="bound on answering all of them")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    reviews = _reviews(options.data)
    broker = java_broker(DEFAULT_CACHE)
    with tempfile.TemporaryDirectory(prefix="movies-") as folder:
        try:
            broker.start()
            found = asyncio.run(_counted(broker.bootstrap_servers, Path(folder), reviews, options.seconds))
        finally:
            broker.close()
    truth = _truth(reviews)
    movies = sorted(truth)
    result = {
        "reviews": len(reviews),
        "movies": len(movies),
        "correlation": correlation([truth[m] for m in movies], [found[m] for m in movies]),
    }
    print(json.dumps(result, indent=1))
    if options.json:
        pairs = {movie: (truth[movie], found[movie]) for movie in movies}
        options.json.write_text(json.dumps(result | {"truth_and_found": pairs}), encoding="utf-8")


def _reviews(data: Path) -> list[dict[str, str]]:
    with (data / "nsmc" / "entity_reviews_100movies.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _truth(reviews: list[dict[str, str]]) -> Ratios:
    """The share of bad ratings among the clear ones."""
    counts: defaultdict[str, Counter[bool]] = defaultdict(Counter)
    for review in reviews:
        if (rating := int(review["rating"])) in {*WORST, *BEST}:
            counts[review["movie_id"]][rating in WORST] += 1
    return {movie: counted[True] / counted.total() for movie, counted in counts.items()}


async def _counted(address: str, folder: Path, reviews: list[dict[str, str]], seconds: float) -> Ratios:
    """Negative reviews among all of a movie, by its totals."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    environment = kept | {
        "KAFKA_BOOTSTRAP_SERVERS": address,
        "KAFKA_GROUP_ID": GROUP,
        "ENGINE": "local",
        "STATE_DIR": str(folder),
        "METRICS_PORT": "0",
    }
    command = [sys.executable, "-m", "consumer.cli"]
    create = [*command, "topics", "create", "--partitions", str(PARTITIONS)]
    await asyncio.to_thread(subprocess.run, create, env=environment, check=True, stdout=subprocess.DEVNULL)
    await _send(address, reviews)
    process = await asyncio.to_thread(_started, [*command, "run"], environment, folder / "consumer.log")
    try:
        await _until_answered(address, process, len(reviews), seconds)
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 60)
    totals = await _totals(address)
    if (answered := sum(found.total_count for found in totals.values())) != len(reviews):
        raise RuntimeError(f"the totals count {answered} of {len(reviews)} reviews")
    return {movie: found.negative_count / found.total_count for movie, found in totals.items()}


async def _send(address: str, reviews: list[dict[str, str]]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=address) as producer:
        for review in reviews:
            movie = review["movie_id"]
            event = {"review_id": review["review_id"], "restaurant_id": movie, "content": review["review"]}
            await producer.send(TopicNames().reviews, key=movie.encode(), value=encode_document(event))


def _started(command: list[str], environment: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as sink:
        return subprocess.Popen(command, env=environment, stderr=sink)


async def _until_answered(address: str, process: "subprocess.Popen[bytes]", count: int, seconds: float) -> None:
    began, done = time.monotonic(), 0
    places = [TopicPartition(TopicNames().reviews, number) for number in range(PARTITIONS)]
    async with AIOKafkaConsumer(bootstrap_servers=address, group_id=GROUP, enable_auto_commit=False) as consumer:
        while done < count:
            if process.poll() is not None or time.monotonic() - began > seconds:
                raise RuntimeError(f"{done} of {count} reviews were answered; the consumer's status: {process.poll()}")
            await asyncio.sleep(LOOK_SECONDS)
            done = sum([await consumer.committed(place) or 0 for place in places])


async def _totals(address: str) -> dict[str, SentimentTotals]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=address,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    found: dict[str, SentimentTotals] = {}
    async with consumer:
        places = [TopicPartition(TopicNames().totals, number) for number in range(PARTITIONS)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(place) < ends[place] for place in places]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found |= {record.key.decode(): decode(SentimentTotals, record.value) for record in records}
    return found


if __name__ == "__main__":
    main()
