"""A member and a gateway as an operator starts them, on the real broker, watched by a real Prometheus."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.kafka.sources import Kafka
from tests.integration.world import World
from tests.ops.processes import Kept
from tests.ops.prometheus import Prometheus, free_port
from tests.ops.scaling import SCRAPE_SECONDS
from tests.ops.stage import page
from tests.ops.traffic import Traffic

ROOT = Path(__file__).parents[2]
WORK_SECONDS = 12.0
"""For the windows of compressed time to fill."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What was scraped, and where the pages are."""

    prometheus: Prometheus
    consumer: str
    gateway: str


@pytest.fixture(scope="session")
def watched(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """After some work: samples, with ratings and broken records among them, and batch requests."""
    folder = tmp_path_factory.mktemp("watched")
    with asyncio.Runner() as runner:
        consumer, gateway, prometheus, kept = runner.run(_worked(kafka.bootstrap_servers, folder))
        try:
            yield Watched(prometheus, consumer, gateway)
        finally:
            prometheus.stop()
            for one in kept:
                runner.run(one.stop())


async def _worked(address: str, folder: Path) -> tuple[str, str, Prometheus, list[Kept]]:
    world = World(address, f"watched-{folder.name}.", partitions=2)
    await world.create()
    metrics, http = free_port(), free_port()
    common = world.environment(STATE_DIR=str(folder), SUMMARY_MAX_AGE_SECONDS="1")
    variables = {"METRICS_PORT": str(metrics), "GATEWAY_PORT": str(http), "GATEWAY_VIEW_DIR": str(folder)}
    kept = [
        Kept([*module], common | variables, folder) for module in (("consumer.cli", "run"), ("producer.cli", "gateway"))
    ]
    for one in kept:
        one.start()
    pages = f"http://127.0.0.1:{metrics}", f"http://127.0.0.1:{http}"
    async with asyncio.timeout(90):
        while not all([await asyncio.to_thread(page, f"{at}/readyz") for at in pages]):
            await asyncio.sleep(0.2)
    targets = {"review-consumer": [pages[0][7:]], "review-gateway": [pages[1][7:]]}
    prometheus = Prometheus(folder / "prometheus", targets, SCRAPE_SECONDS)
    await asyncio.to_thread(prometheus.start)
    await world.send(_samples())
    traffic = Traffic(address, world.settings.topics.reviews, http)
    traffic.poison = True
    sending = asyncio.create_task(traffic.run())
    await asyncio.sleep(WORK_SECONDS)
    sending.cancel()
    return *pages, prometheus, kept


def _samples() -> list[tuple[bytes, bytes]]:
    """With one among them whose rating is not allowed."""
    bad = {"review_id": "bad-rating", "restaurant_id": 1, "content": "좋아요", "rating": 9}
    lines = [json.dumps(bad).encode(), *(ROOT / "producer" / "samples" / "reviews.jsonl").read_bytes().splitlines()]
    return [(str(json.loads(line)["restaurant_id"]).encode(), line) for line in lines]
