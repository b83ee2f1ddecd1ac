"""`review-consumer run` as a person meets it: messages that can be acted on, exit statuses, a graceful stop."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from deploy.kafka.sources import Kafka
from schemas.codec import encode_document
from schemas.topics import TopicNames
from tests.integration.world import World

SECONDS = 60


def environment(**more: str) -> dict[str, str]:
    """Nothing of ours from outside but what the test sets."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("KAFKA_", "VLLM_", "TOPIC_", "METRICS_"))}
    state = str(Path(tempfile.gettempdir()) / "review-consumer-test-state")
    return kept | {"METRICS_PORT": "0", "STATE_DIR": state} | more


def consumer(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "consumer.cli", *arguments],
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_without_an_address() -> None:
    """It says which variable is missing, and how to get a broker."""
    done = consumer("run")
    assert done.returncode == 2
    assert done.stderr == (
        "error: KAFKA_BOOTSTRAP_SERVERS is not set: give the brokers as host:port, such as localhost:9092 "
        "(`make kafka` starts one for development)\n"
    )


def test_with_no_broker_reachable() -> None:
    """It says where it looked and how long, and ends in bounded time."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        started = time.monotonic()
        done = consumer("run", KAFKA_BOOTSTRAP_SERVERS=address, KAFKA_REQUEST_TIMEOUT_SECONDS="3")
    assert done.returncode == 2
    assert f"no broker answered at {address} within 3 s" in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - started < 30


def test_with_a_wrong_setting() -> None:
    """It names the variable, its value, and what is allowed."""
    done = consumer("run", VLLM_MAX_BATCH_SIZE="many", KAFKA_BOOTSTRAP_SERVERS="localhost:9092")
    assert done.returncode == 2
    assert done.stderr.startswith("error: VLLM_MAX_BATCH_SIZE='many': Input should be a valid integer")


def test_with_missing_topics(kafka: Kafka, topic_prefix: str) -> None:
    """It names them, and the command that creates them."""
    done = consumer("run", KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap_servers, **_names(topic_prefix))
    assert done.returncode == 2
    assert f"topic {topic_prefix}restaurant.reviews does not exist" in done.stderr
    assert "review-consumer topics create" in done.stderr


def test_config_shows_settings_and_masks_secrets() -> None:
    """Effective value and source."""
    done = consumer("config", VLLM_PRESET="24gb", KAFKA_SASL_PASSWORD="hunter2")
    assert done.returncode == 0
    assert "hunter2" not in done.stdout
    assert "preset 24gb" in done.stdout


@contextmanager
def running(**more: str) -> Iterator["subprocess.Popen[str]"]:
    """The consumer as a process; killed if the test does not end it."""
    command = [sys.executable, "-m", "consumer.cli", "run"]
    with subprocess.Popen(command, env=environment(**more), stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_gracefully(kafka: Kafka, topic_prefix: str, number: signal.Signals) -> None:
    """Status 0, the offset committed, and `/readyz` told the truth before."""
    world = World(kafka.bootstrap_servers, topic_prefix, partitions=2)
    await world.create()
    sent = await world.send(
        [(b"1", encode_document({"review_id": n, "restaurant_id": 1, "content": "맛있어요"})) for n in range(50)]
    )
    port = _free_port()
    more = _names(topic_prefix) | {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_GROUP_ID": world.settings.delivery.kafka_group_id,
        "METRICS_PORT": str(port),
        "LOG_FORMAT": "json",
    }
    with running(**more) as process:
        await world.until_answered(sent)
        await _ready(port)
        page = await asyncio.to_thread(_page, port, "/metrics")
        assert 'review_consumer_results_total{kind="sentiment",outcome="analyzed"} 50.0' in page
        process.send_signal(number)
        _, errors = await asyncio.to_thread(process.communicate, timeout=SECONDS)
        assert process.returncode == 0, errors
    assert await world.committed() == sent


async def _ready(port: int) -> None:
    async with asyncio.timeout(SECONDS):
        while "true" not in await asyncio.to_thread(_page, port, "/readyz"):
            await asyncio.sleep(0.1)


def _page(port: int, path: str) -> str:
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return str(answer.read(), "utf-8")
    except URLError as error:
        return str(error)


def _names(prefix: str) -> dict[str, str]:
    return {f"TOPIC_{name.upper()}": f"{prefix}{field.default}" for name, field in TopicNames.model_fields.items()}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
