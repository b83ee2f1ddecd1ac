"""Gateways in this process, on topics of a test's own, with a responder behind them."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import uvicorn

from producer.gateway.app import create_app
from producer.gateway.parts import Parts, running
from producer.settings import GatewaySettings, Settings
from schemas.connection import KafkaConnection
from schemas.topics import TopicNames
from tests.integration.http_client import Reply, call

TOPICS = ("requests", "replies", "totals", "summary", "strength")


class _Server(uvicorn.Server):
    """Leaves this process's signals alone."""

    def capture_signals(self) -> Any:
        return nullcontext()


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that answers on `port`."""

    port: int
    parts: Parts

    async def post(self, path: str, body: object, **headers: str) -> Reply:
        """One POST; underscores in a header's name stand for hyphens."""
        return await call(self.port, "POST", path, body, {n.replace("_", "-"): v for n, v in headers.items()})

    async def get(self, path: str, **headers: str) -> Reply:
        """One GET."""
        return await call(self.port, "GET", path, None, {n.replace("_", "-"): v for n, v in headers.items()})


async def topics_for(make_topic: Callable[..., Awaitable[str]], **partitions: int) -> TopicNames:
    """Topics of this test's own; the compacted ones are not, so that nothing a test wrote is gone."""
    names = {name: await make_topic(name, partitions=partitions.get(name, 3)) for name in TOPICS}
    return TopicNames.model_validate(names)


@asynccontextmanager
async def serving(address: str, topics: TopicNames, **changes: Any) -> AsyncIterator[Gateway]:
    """A gateway while inside, with settings changed; it is ready."""
    settings = Settings(KafkaConnection(bootstrap_servers=address), topics)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        async with running(settings, GatewaySettings(**changes)) as parts:
            config = uvicorn.Config(create_app(parts), lifespan="off", log_config=None, access_log=False)
            server = _Server(config)
            task = asyncio.create_task(server.serve([listener]))
            gateway = Gateway(listener.getsockname()[1], parts)
            try:
                async with asyncio.timeout(30):
                    while not server.started or parts.missing():
                        await asyncio.sleep(0.02)
                yield gateway
            finally:
                server.should_exit = True
                server.force_exit = True
                await task
