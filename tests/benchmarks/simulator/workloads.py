"""What is asked: reviews whose lengths have a heavy tail, and the work of whole restaurants."""

import random
from collections.abc import Iterator

from consumer.analysis.task import Kind, Task
from consumer.stream.work import Rank
from tests.benchmarks.simulator.driving import Record
from tests.benchmarks.simulator.engine import task

PARTITIONS = 12


def heavy_tailed(rng: random.Random) -> int:
    """Tokens of a review: most have a few dozen, the mean is far above the median, and one in a thousand is cut.

    A Pareto tail of index 1.2, whose variance is infinite.
    """
    return min(8000, int(30 * rng.paretovariate(1.2)))


def reviews(count: int, seed: int, restaurants: int = 200) -> list[list[Record]]:
    """Labels to give, partition by partition, a restaurant's all in one."""
    rng = random.Random(seed)
    partitions: list[list[Record]] = [[] for _ in range(PARTITIONS)]
    for _ in range(count):
        number = rng.randrange(restaurants)
        record = Record(f"r{number}", task(Kind.SENTIMENT, heavy_tailed(rng)))
        partitions[number % PARTITIONS].append(record)
    return partitions


class Summaries:
    """A summary owed for every `every` answered reviews of a restaurant, as jobs ask for them."""

    def __init__(self, seed: int, every: int = 10) -> None:
        self._rng, self._every = random.Random(seed), every
        self._counts: dict[str, int] = {}

    def owed(self, record: Record) -> Iterator[Record]:
        """What follows from one more answer."""
        count = self._counts[record.restaurant] = self._counts.get(record.restaurant, 0) + 1
        if record.task.kind is Kind.SENTIMENT and count % self._every == 0:
            tokens = sum(min(100, heavy_tailed(self._rng)) for _ in range(self._every))
            yield Record(record.restaurant, summary(self._rng, tokens), Rank.JOB)


def summary(rng: random.Random, tokens: int) -> Task:
    """A summary of reviews of so many tokens; its answer has 120 to 400."""
    return task(Kind.SUMMARY, tokens + 150, rng.randint(120, 400))
