"""`review-producer gateway` as a person meets it: where it listens, how it ends, what it says when it cannot."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import urlopen

from deploy.kafka.sources import Kafka
from tests.integration.gateways import topics_for
from tests.kafka_broker import MakeTopic
from tests.processes import comes_true

SECONDS = 60


@contextmanager
def gateway(**variables: str) -> Iterator["subprocess.Popen[str]"]:
    """The command, with these variables and none of ours from outside; killed if it still runs at the end."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("KAFKA_", "TOPIC_", "GATEWAY_"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "producer.cli", "gateway"],
        env=kept | {"GATEWAY_PORT": "0"} | variables,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


async def test_it_serves_until_told_to_stop(kafka: Kafka, make_topic: MakeTopic) -> None:
    """It says where it listens, becomes ready, and ends with status 0 on SIGTERM."""
    names = (await topics_for(make_topic)).model_dump(include={"requests", "replies", "totals", "summary", "strength"})
    topics = {f"TOPIC_{name}".upper(): topic for name, topic in names.items()}
    with gateway(KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap_servers, **topics) as process:
        assert process.stderr is not None
        found = re.fullmatch(r"gateway: (http://127\.0\.0\.1:\d+)\n", process.stderr.readline())
        assert found

        def ready() -> bool:
            try:
                with urlopen(f"{found[1]}/readyz", timeout=5) as answer:  # noqa: S310 - http, as matched
                    return bool(json.load(answer)["ready"])
            except OSError:
                return False

        assert comes_true(ready, SECONDS)
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
        assert process.stderr.read() == ""


async def test_what_must_be_changed_first(kafka: Kafka, make_topic: MakeTopic) -> None:
    """Status 2 and one message: a port that is taken, a topic that is missing, a setting that is wrong."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"127.0.0.1:{port} (GATEWAY_HOST, GATEWAY_PORT)" in said(kafka, GATEWAY_PORT=port)
    missing = f"{await make_topic('requests')}-missing"
    assert "topics create" in said(kafka, TOPIC_REPLIES=missing)
    assert "GATEWAY_TIMEOUT_SECONDS" in said(kafka, GATEWAY_TIMEOUT_SECONDS="soon")
    assert "GATEWAY_VIEW_DIR" in said(kafka, GATEWAY_VIEW_DIR="/no/such/folder")


def said(kafka: Kafka, **variables: str) -> str:
    """What it says on standard error when it ends with status 2."""
    with gateway(KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap_servers, **variables) as process:
        _, text = process.communicate(timeout=SECONDS)
        assert process.returncode == 2, text
        assert text.startswith("error: ")
        assert text.count("\n") == 1
        return text
