"""A stage: a broker, a member and a gateway as processes that are kept up, traffic, and a Prometheus that watches."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.error import HTTPError
from urllib.request import urlopen

import yaml

from deploy.kafka import probe
from deploy.kafka.broker import Broker
from deploy.kafka.jars import DEFAULT_CACHE
from deploy.kafka.sources import java_broker
from tests.integration.world import World
from tests.ops.deployed import DEPLOY
from tests.ops.engine import Mood
from tests.ops.processes import Kept
from tests.ops.prometheus import Prometheus, free_port
from tests.ops.scaling import FACTOR, SCRAPE_SECONDS, scaled_rules
from tests.ops.traffic import Traffic
from tests.redis_server import RedisServer

READY_SECONDS: Final = 90.0
PARTITIONS: Final = 4
JOBS: Final = ("review-consumer", "review-gateway")
PASSWORD: Final = "the-right-one"
_HOST: Final = "127.0.0.1"
_MEMBER: Final = {
    "KAFKA_REQUEST_TIMEOUT_SECONDS": "5",
    "KAFKA_SESSION_TIMEOUT_SECONDS": "6",
    "REVOKE_DRAIN_SECONDS": "5",
    "COMMIT_INTERVAL_SECONDS": "0.5",
    "ENGINE_MAX_RESTARTS": "1000",  # the pauses between them are compressed with all else: five are over in seconds
    "RETRY_MAX_SECONDS": "2",
    "SUMMARY_MIN_REVIEWS": "50",
    "VLLM_MIN_BATCH_SIZE": "5",
    "VLLM_MAX_BATCH_SIZE": "10",
}
"""Bounds that let an outage be over, and known, within compressed time."""


@dataclass(slots=True)
class Stage:
    """What a fault can lay hands on."""

    broker: Broker
    log_in_address: str
    """Where the broker asks for name and password."""
    world: World
    member: Kept
    gateway: Kept
    redis: RedisServer
    traffic: Traffic
    prometheus: Prometheus
    folder: Path
    member_page: str

    def mood(self, mood: Mood) -> None:
        """Of the engine, from now on."""
        (self.folder / "mood").write_text(mood, "utf-8")

    async def until_ready(self) -> None:
        """The member takes records. Raises TimeoutError."""
        async with asyncio.timeout(READY_SECONDS):
            while not await asyncio.to_thread(page, f"{self.member_page}/readyz"):
                await asyncio.sleep(0.2)

    async def settle(self) -> None:
        """Both pages are scraped, and what starting did to the machine is over. Raises TimeoutError."""
        async with asyncio.timeout(READY_SECONDS):
            while len(await asyncio.to_thread(self.prometheus.query, "min_over_time(up[5s]) == 1")) < len(JOBS):
                await asyncio.sleep(SCRAPE_SECONDS)
        if not await self.until(lambda firing: not firing, READY_SECONDS):
            raise TimeoutError("alerts fire before anything was done")

    async def until(self, condition: Callable[[set[str]], bool], seconds: float) -> bool:
        """Wait until what fires fulfils a condition; say whether it came to that."""
        end = time.monotonic() + seconds
        while not (held := condition(await asyncio.to_thread(self.prometheus.firing))) and time.monotonic() < end:
            await asyncio.sleep(SCRAPE_SECONDS)
        return held


@asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Stage]:
    """Everything up and healthy while inside; nothing is left afterwards but the folder, with logs and samples."""
    (folder / "logs").mkdir(parents=True)
    async with AsyncExitStack() as up:
        broker, log_in_address = _broker()
        up.callback(broker.close)
        await asyncio.to_thread(broker.start)
        redis = RedisServer(folder)
        up.callback(redis.kill)
        redis.start()
        world = World(broker.bootstrap_servers, "staged.", PARTITIONS)
        await world.create()
        stage = _stage(folder, broker, log_in_address, redis, world)
        stage.mood(Mood.CALM)
        for kept in (stage.member, stage.gateway):
            up.push_async_callback(kept.stop)
            kept.start()
        await stage.until_ready()
        sending = asyncio.create_task(stage.traffic.run(), name="traffic")
        up.callback(sending.cancel)
        up.callback(stage.prometheus.stop)
        await asyncio.to_thread(stage.prometheus.start)
        await stage.settle()
        yield stage


def _stage(folder: Path, broker: Broker, log_in_address: str, redis: RedisServer, world: World) -> Stage:
    metrics, http = free_port(), free_port()
    common = world.environment(PYTHONUNBUFFERED="1")
    member = (
        common
        | _MEMBER
        | {
            "OPS_MOOD": str(folder / "mood"),
            "METRICS_PORT": str(metrics),
            "STATE_DIR": str(folder / "state"),
            "REDIS_URL": redis.url,
        }
    )
    gateway = common | {"GATEWAY_PORT": str(http), "GATEWAY_VIEW_DIR": str(folder)}
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text("utf-8"))
    targets = {job: [f"{_HOST}:{port}"] for job, port in zip(JOBS, (metrics, http), strict=True)}
    watching = Prometheus(folder / "prometheus", targets, SCRAPE_SECONDS, scaled_rules(rules, FACTOR))
    return Stage(
        broker,
        log_in_address,
        world,
        Kept(["tests.ops.member"], member, folder / "logs"),
        Kept(["producer.cli", "gateway"], gateway, folder / "logs"),
        redis,
        Traffic(broker.bootstrap_servers, world.settings.topics.reviews, http),
        watching,
        folder,
        f"http://{_HOST}:{metrics}",
    )


def _broker() -> tuple[Broker, str]:
    """One with a second listener, where clients log in as `reviews`; and that listener's address."""
    plain, sasl, controller = (probe.free_port() for _ in range(3))
    listeners = f"PLAINTEXT://{_HOST}:{plain},SASL_PLAINTEXT://{_HOST}:{sasl}"
    user = f'user_reviews="{PASSWORD}"'
    settings = {
        "listeners": f"{listeners},CONTROLLER://{_HOST}:{controller}",
        "advertised.listeners": listeners,
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.quorum.voters": f"1@{_HOST}:{controller}",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": (
            f"org.apache.kafka.common.security.plain.PlainLoginModule required {user};"
        ),
    }
    return java_broker(DEFAULT_CACHE, port=plain, settings=settings), f"{_HOST}:{sasl}"


def page(url: str) -> bool:
    """Whether a page is served, with status 200."""
    try:
        with urlopen(url, timeout=2) as answer:  # noqa: S310 - our own
            return bool(answer.status == 200)
    except (HTTPError, OSError):
        return False
