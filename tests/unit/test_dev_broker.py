"""The development broker's decisions, its settings and its probe; no broker is started here."""

from __future__ import annotations

import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.kafka import probe
from deploy.kafka.errors import BrokerFailed, Unavailable
from deploy.kafka.node import Listeners, as_environment, as_properties, single_node
from deploy.kafka.sources import External, Kafka, Source, first_available, in_ci, open_external, sources

REPOSITORY = Path(__file__).resolve().parents[2]
API_VERSIONS_REPLY = struct.pack(">iihi", 10, 1, 0, 0)  # length, correlation id, no error, an empty list


def test_an_address_in_the_environment_is_the_only_source() -> None:
    """Whoever names a broker gets that one or an error, never another."""
    names = [source.name for source in sources({"KAFKA_BOOTSTRAP_SERVERS": "b:9092"}, Path("cache"), None)]
    assert names == ["KAFKA_BOOTSTRAP_SERVERS"]


@pytest.mark.parametrize("environment", [{}, {"KAFKA_BOOTSTRAP_SERVERS": ""}])
def test_without_an_address_a_container_comes_before_java(environment: dict[str, str]) -> None:
    """An empty variable is as good as none."""
    assert [source.name for source in sources(environment, Path("cache"), None)] == ["container", "Java"]


def test_the_first_source_that_can_be_had_is_opened_and_no_further() -> None:
    """A source that is not available is passed over; the ones after the first success are left alone."""
    opened: list[str] = []

    def opens(name: str) -> Kafka:
        opened.append(name)
        if name == "first":
            raise Unavailable("not here")
        return External(name)

    candidates = [Source(name, lambda name=name: opens(name)) for name in ("first", "second", "third")]  # type: ignore[misc]
    assert first_available(candidates).bootstrap_servers == "second"
    assert opened == ["first", "second"]


def test_when_none_can_be_had_every_reason_is_given() -> None:
    """The reason for a skip names each way that was tried."""

    def fails() -> Kafka:
        raise Unavailable("not here")

    with pytest.raises(Unavailable, match=r"^one: not here; two: not here$"):
        first_available([Source("one", fails), Source("two", fails)])


def test_a_source_that_should_work_and_does_not_ends_the_search() -> None:
    """A broker that fails is shown, not hidden behind the next source."""

    def fails() -> Kafka:
        raise BrokerFailed("died")

    with pytest.raises(BrokerFailed, match="died"):
        first_available([Source("one", fails), Source("two", lambda: External("b:1"))])


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, False), ("", False), ("0", False), ("false", False), ("False", False), ("true", True), ("1", True)],
)
def test_ci_is_recognised_by_its_variable(*, value: str | None, expected: bool) -> None:
    """CI set and neither 0 nor false: a missing broker is then a failure."""
    assert in_ci({} if value is None else {"CI": value}) is expected


@pytest.mark.parametrize(("ci", "outcome"), [("", "1 skipped"), ("true", "1 error")])
def test_a_missing_broker_skips_a_test_and_in_ci_fails_it(ci: str, outcome: str, tmp_path: Path) -> None:
    """On a machine without engine and Java the reasons are shown either way."""
    (tmp_path / "test_it.py").write_text("def test_it(kafka): pass", encoding="utf-8")
    engine = f"tcp://127.0.0.1:{probe.free_port()}"
    environment = {"CI": ci, "DOCKER_HOST": engine, "PATH": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-rsE",
        "-p",
        "no:cacheprovider",
        "-p",
        "tests.kafka_broker",
        "test_it.py",
    ]
    ended = subprocess.run(  # noqa: S603 - our own
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert outcome in ended.stdout
    assert "no Kafka broker: container: no Docker engine answers" in ended.stdout
    assert "Java: no java on the PATH" in ended.stdout


def test_a_kafka_answers_and_nothing_else_does() -> None:
    """Only a reply to the request counts: not silence, not another protocol, not a closed port."""
    with serving(API_VERSIONS_REPLY) as port:
        assert probe.answers(f"127.0.0.1:{port}", 2.0)
    with serving(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        assert not probe.answers(f"127.0.0.1:{port}", 2.0)
    with serving(b"") as port:
        assert not probe.answers(f"127.0.0.1:{port}", 0.2)
    assert not probe.answers(f"127.0.0.1:{probe.free_port()}", 2.0)


def test_one_answering_address_of_several_is_enough() -> None:
    """As for any Kafka client, the list is for finding the cluster."""
    with serving(API_VERSIONS_REPLY) as port:
        assert probe.answers(f"127.0.0.1:{probe.free_port()}, 127.0.0.1:{port}", 2.0)


def test_a_named_broker_that_does_not_answer_is_an_error_within_the_bound() -> None:
    """The message names the variable and the address; the wait is the one asked for."""
    address = f"127.0.0.1:{probe.free_port()}"
    started = time.monotonic()
    with pytest.raises(BrokerFailed, match=f"KAFKA_BOOTSTRAP_SERVERS={address}"):
        open_external(address, 0.5)
    assert time.monotonic() - started < 5.0


@pytest.mark.parametrize("address", ["localhost", ":9092", "b:port", "b:99999", "a:1,,b:2", "b:²"])
def test_an_address_that_is_none_is_named(address: str) -> None:
    """A slip in the variable is told apart from a broker that is down."""
    with pytest.raises(BrokerFailed, match="is not host:port"):
        probe.addresses(address)


def test_addresses_are_read_with_ipv6_and_spaces() -> None:
    """Brackets go, since sockets want none."""
    assert probe.addresses("a:1, [::1]:9092") == [("a", 1), ("::1", 9092)]


def test_a_free_port_is_free_and_no_client_is_given_it() -> None:
    """Ports lie below the ranges for outgoing connections; a port in use is seen to be."""
    ports = {probe.free_port() for _ in range(50)}
    assert all(20_000 <= port < 32_000 for port in ports)
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        assert not probe.is_free(taken)
    assert probe.is_free(taken)


def test_one_node_needs_one_copy_of_everything() -> None:
    """Each replication factor that defaults to 3 is 1, each minimum of replicas too."""
    settings = single_node(Listeners("127.0.0.1", 20_001, 20_002, advertised="127.0.0.1"))
    copies = {name: value for name, value in settings.items() if re.search(r"replication\.factor|min\.isr", name)}
    assert set(copies.values()) == {"1"}
    assert copies.keys() >= {"offsets.topic.replication.factor", "transaction.state.log.replication.factor"}
    assert "controller.quorum.voters=1@127.0.0.1:20002\n" in as_properties(settings)


def test_the_image_is_told_everything_that_it_would_have_set_itself() -> None:
    """In apache/kafka one KAFKA_ variable replaces all defaults: each of those must be among ours."""
    inside = as_environment(single_node(Listeners("", 20_001, 9093, advertised="127.0.0.1", inner_port=9092)))
    assert {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT://127.0.0.1:20001",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    }.items() <= inside.items()


@contextmanager
def serving(reply: bytes) -> Iterator[int]:
    """Listen on a port, and to whoever connects send the reply (or, when empty, nothing) until the end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(reply)
                over.wait(10)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        over.set()
        thread.join()
