"""What the Docker engine is asked for: against an engine of the tests' own, since a real one is not everywhere.

It speaks the few calls of the Docker Engine API that starting and removing one container takes, over TCP, and keeps
what it was asked. It starts no container: where the container's port must answer, a socket does.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deploy.kafka.container import IMAGE, engine_answers, start_container
from deploy.kafka.errors import Unavailable
from deploy.kafka.probe import free_port

CONTAINER_ID = "c0ffee" + "0" * 58
API_VERSIONS_REPLY = struct.pack(">iihi", 10, 1, 0, 0)


@dataclass
class Engine:
    """An engine at `address` that has one image and one container, and keeps its calls."""

    address: str = ""
    log: bytes = b"[KafkaRaftServer nodeId=1] Kafka Server started\n"
    calls: list[str] = field(default_factory=list)
    created: dict[str, Any] = field(default_factory=dict)

    def answer(self, call: str, body: dict[str, Any]) -> tuple[int, bytes]:
        """Answer one call, as `METHOD /path` without version and query."""
        self.calls.append(call)
        if call == "POST /containers/create":
            self.created = body
        state = {"Status": "running", "Running": True}
        container = {"Id": CONTAINER_ID, "Name": "/kafka", "State": state, "Config": {"Tty": True}, "Warnings": []}
        return {
            "GET /_ping": (200, b"OK"),
            "GET /version": (200, json.dumps({"ApiVersion": "1.44", "MinAPIVersion": "1.24"}).encode()),
            f"GET /images/{IMAGE}/json": (200, json.dumps({"Id": "sha256:0", "Config": {}}).encode()),
            "POST /containers/create": (201, json.dumps(container).encode()),
            f"GET /containers/{CONTAINER_ID}/json": (200, json.dumps(container).encode()),
            f"GET /containers/{CONTAINER_ID}/logs": (200, self.log),
            f"POST /containers/{CONTAINER_ID}/start": (204, b""),
            f"DELETE /containers/{CONTAINER_ID}": (204, b""),
        }.get(call, (404, json.dumps({"message": f"no such image or call: {call}"}).encode()))


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Serve an Engine, and make it the one that testcontainers finds."""
    served = Engine()

    class Calls(BaseHTTPRequestHandler):
        wbufsize = -1  # the whole answer at once, as the engine gives it

        def do_GET(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
            path = self.path.partition("?")[0].removeprefix("/v1.44")
            status, content = served.answer(f"{self.command} {path}", body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_DELETE = do_GET  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Calls) as server:
        served.address = f"tcp://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("DOCKER_HOST", served.address)
        monkeypatch.setenv("TESTCONTAINERS_RYUK_DISABLED", "true")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield served
        server.shutdown()
        thread.join()


@pytest.fixture
def kafka_port() -> Iterator[int]:
    """A port where a Kafka request is answered."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:  # closed: the test is over
                    return
                with connection:
                    connection.recv(100)
                    connection.sendall(API_VERSIONS_REPLY)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_the_container_gets_the_image_the_settings_and_a_fixed_port(engine: Engine, kafka_port: int) -> None:
    """The engine is asked for apache/kafka with what clients will dial; on close it is asked to remove it."""
    kafka = start_container(kafka_port)
    assert kafka.bootstrap_servers == f"127.0.0.1:{kafka_port}"
    assert kafka.is_running()
    assert engine.created["Image"] == IMAGE == "apache/kafka:4.3.1"
    assert engine.created["HostConfig"]["PortBindings"] == {"9092/tcp": [{"HostIp": "", "HostPort": str(kafka_port)}]}
    assert f"KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://127.0.0.1:{kafka_port}" in engine.created["Env"]
    assert "KAFKA_LISTENERS=PLAINTEXT://:9092,CONTROLLER://:9093" in engine.created["Env"]
    kafka.close()
    assert engine.calls[-1] == f"DELETE /containers/{CONTAINER_ID}"


def test_a_container_whose_kafka_does_not_come_up_is_removed(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its log line in time it is given up: not available, and nothing stays behind."""
    engine.log = b"still starting\n"
    monkeypatch.setattr("deploy.kafka.container.START_SECONDS", 1)
    with pytest.raises(Unavailable, match="did not start"):
        start_container(free_port())
    assert engine.calls[-1] == f"DELETE /containers/{CONTAINER_ID}"


def test_an_engine_without_the_image_is_not_available(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that cannot be pulled (no network, say) leads to the next source, with the engine's words."""
    monkeypatch.setattr("deploy.kafka.container.IMAGE", "apache/kafka:none")
    with pytest.raises(Unavailable, match="no such image or call: POST /images/create"):
        start_container(free_port())
    assert "POST /containers/create" not in engine.calls


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_an_engine_that_is_not_there_or_hangs_costs_little_time(kind: str, tmp_path: Path) -> None:
    """Neither a closed address nor one that takes the call and never answers holds the tests up."""
    absent = {"tcp": f"tcp://127.0.0.1:{free_port()}", "unix": f"unix://{tmp_path}/no.sock"}[kind]
    assert not engine_answers(absent)
    with socket.socket(socket.AF_INET if kind == "tcp" else socket.AF_UNIX) as hung:
        hung.bind(("127.0.0.1", 0) if kind == "tcp" else f"{tmp_path}/docker.sock")
        hung.listen()
        started = time.monotonic()
        place = f"127.0.0.1:{hung.getsockname()[1]}" if kind == "tcp" else f"{tmp_path}/docker.sock"
        assert not engine_answers(f"{kind}://{place}", seconds=0.3)
        assert 0.2 < time.monotonic() - started < 3.0


def test_an_engine_that_answers_is_seen(engine: Engine) -> None:
    """It is asked for `/_ping`."""
    assert engine_answers(engine.address)
    assert engine.calls == ["GET /_ping"]


def test_without_an_engine_the_reason_names_where_it_was_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a wrong DOCKER_HOST can be told from none."""
    address = f"tcp://127.0.0.1:{free_port()}"
    monkeypatch.setenv("DOCKER_HOST", address)
    with pytest.raises(Unavailable, match=f"no Docker engine answers at {address}"):
        start_container()
