"""Reviews through a real broker, the service with a real vLLM, and back."""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from consumer.engines.vllm.engine import VllmEngine
from deploy.kafka.sources import Kafka
from schemas.codec import encode_document
from tests.integration.world import World
from tests.llm.conftest import WHOLE

COUNT = 1000 if WHOLE else 200
SECONDS = 800.0
DATA = Path(__file__).parents[1] / "data" / "nsmc_reviews.jsonl"


class Lent:
    """The session's engine, for a service that may not stop it."""

    def __init__(self, engine: VllmEngine) -> None:
        self._engine = engine
        self.name, self.model = engine.name, engine.model
        self.prepare, self.run = engine.prepare, engine.run
        self.health, self.load = engine.health, engine.load

    async def start(self) -> None:
        """It has started."""

    async def stop(self) -> None:
        """It goes on."""


def reviews(count: int) -> Iterator[tuple[bytes, bytes]]:
    """Real ones, numbered anew; again from the first where there are not enough."""
    lines = DATA.read_text("utf-8").splitlines()
    for number, line in zip(range(count), itertools.cycle(lines), strict=False):
        event = {**json.loads(line), "review_id": number}
        yield str(event["restaurant_id"]).encode(), encode_document(event)


async def test_reviews_through_kafka_are_each_answered_once(vllm: VllmEngine, kafka: Kafka, topic_prefix: str) -> None:
    """With a score each; none is a dead letter; all are committed."""
    world = World(kafka.bootstrap_servers, topic_prefix, partitions=4)
    world.tuned("jobs", summary_min_reviews=10 * COUNT, summary_max_age_seconds=86_400.0)
    await world.create()
    sent = await world.send(reviews(COUNT))
    async with world.running(Lent(vllm)), asyncio.timeout(SECONDS):
        while len(await world.results()) + len(await world.letters()) < sent:
            await asyncio.sleep(2)
    results = await world.results()
    assert await world.letters() == []
    assert Counter(result.review_id for result in results) == Counter(range(COUNT))
    assert all(result.score is not None and 0 <= result.score <= 1 for result in results)
    assert {result.provenance.engine for result in results if result.provenance} == {"vllm"}
    assert await world.committed() == sent
