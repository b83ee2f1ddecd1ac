"""What the OpenAPI document says, held against the gateway: schemathesis makes the requests."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from consumer.engines.local.engine import LocalEngine
from deploy.kafka.sources import Kafka
from producer.gateway import examples
from schemas.topics import TopicNames
from tests.integration.gateways import TOPICS, serving
from tests.integration.http_client import call
from tests.integration.responder import Responder
from tests.integration.world import World, until
from tests.kafka_broker import create_topic

EXAMPLES = 25
"""Requests per operation: enough for a short run; more by hand."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


@pytest.fixture(scope="module", params=["responder", "consumer"])
def port(kafka: Kafka, request: pytest.FixtureRequest) -> Iterator[int]:
    """A gateway, with a responder or the real consumer behind it, on a loop of its own: schemathesis blocks."""
    started: asyncio.Queue[int] = asyncio.Queue()
    loop = asyncio.new_event_loop()
    leave = asyncio.Event()

    async def serve() -> None:
        behind = _responder if request.param == "responder" else _consumer
        async with behind(kafka, f"openapi-{id(loop)}.") as names, serving(kafka.bootstrap_servers, names) as gateway:
            started.put_nowait(gateway.port)
            await leave.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(asyncio.wait_for(started.get(), 60), loop).result()
    finally:
        loop.call_soon_threadsafe(leave.set)
        thread.join()
        loop.close()


@asynccontextmanager
async def _responder(kafka: Kafka, prefix: str) -> AsyncIterator[TopicNames]:
    names = TopicNames.model_validate({name: f"{prefix}{name}" for name in TOPICS})
    for name in TOPICS:
        await create_topic(kafka.bootstrap_servers, getattr(names, name), 2, {})
    async with Responder(kafka.bootstrap_servers, names).answering():
        yield names


@asynccontextmanager
async def _consumer(kafka: Kafka, prefix: str) -> AsyncIterator[TopicNames]:
    world = World(kafka.bootstrap_servers, prefix, partitions=2)
    await world.create()
    async with world.running(LocalEngine()) as member:
        await until(lambda: bool(member.service.workers) and all(w.restored for w in member.service.workers.values()))
        yield world.settings.topics


@pytest.fixture(scope="module")
def described(port: int) -> schemathesis.BaseSchema:
    """The document of the running gateway."""
    return schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/openapi.json")


@pytest.mark.filterwarnings("ignore:Do not use the `random` module")  # aiokafka does, in the other thread
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["as said", "otherwise"])
def test_the_gateway_does_as_its_document_says(described: schemathesis.BaseSchema, mode: GenerationMode) -> None:
    """No server error, and nothing that the document does not say, whether what is asked is as it says or not."""
    for operation in (found.ok() for found in described.get_all_operations() if isinstance(found, Ok)):

        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(case=operation.as_strategy(generation_mode=mode))
        def holds(case: Any) -> None:
            case.call_and_validate(checks=CHECKS, timeout=60)

        holds()


async def test_the_document_has_the_examples(port: int) -> None:
    """The three bodies stand where a reader looks for them; their models are told whole."""
    document = (await call(port, "GET", "/openapi.json")).json()
    posts = {path: found["post"] for path, found in document["paths"].items() if "post" in found}
    shown = {path: found["requestBody"]["content"]["application/json"] for path, found in posts.items()}
    assert shown["/api/v1/sentiment/analyze/batch"]["example"] == examples.SENTIMENT
    assert shown["/api/v1/llm/summarize/batch"]["example"] == examples.SUMMARY
    assert shown["/api/v1/llm/extract/strengths/batch"]["example"] == examples.STRENGTH
    for content in shown.values():
        assert content["schema"]["$ref"].rpartition("/")[2] in document["components"]["schemas"]
