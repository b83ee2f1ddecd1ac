"""Kafka's own image in a container, by testcontainers. Imported only where it is tried; needs a Docker engine."""

from __future__ import annotations

import contextlib
import socket
from datetime import timedelta
from typing import Final

from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import get_docker_host
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from deploy.kafka import probe
from deploy.kafka.errors import BrokerFailed, Unavailable
from deploy.kafka.jars import KAFKA_VERSION
from deploy.kafka.node import Listeners, as_environment, single_node

IMAGE: Final = f"apache/kafka:{KAFKA_VERSION}"
START_SECONDS: Final = 60
ENGINE_SECONDS: Final = 3.0
USUAL_ENGINE: Final = "unix:///var/run/docker.sock"
INNER_PORT: Final = 9092
INNER_CONTROLLER_PORT: Final = 9093


class ContainerKafka:
    """A single-node Kafka in a container, which testcontainers' own reaper removes should this process be killed.

    port: the port on the engine's host, fixed beforehand since Kafka must be told what its clients will dial.
    """

    def __init__(self, container: DockerContainer, host: str, port: int) -> None:
        self._container = container
        self.bootstrap_servers = f"{host}:{port}"

    @property
    def origin(self) -> str:
        """Where this broker comes from, in words."""
        return f"container {self._container.get_container_id()[:12]} of {IMAGE}; log: docker logs"

    def is_running(self) -> bool:
        """Ask the engine whether the container runs."""
        wrapped = self._container.get_wrapped_container()
        wrapped.reload()
        return bool(wrapped.status == "running")

    def close(self) -> None:
        """Remove the container with all it holds."""
        self._container.stop()


def engine_answers(address: str, seconds: float = ENGINE_SECONDS) -> bool:
    """Say whether something speaks HTTP at a Docker engine's address (`unix:///path`, `tcp://host:port`) in this time.

    Asked by hand, since docker-py retries, and leaves a socket open when nobody answers. Addresses of other kinds
    (ssh, npipe) are taken on trust: starting the container shows.
    """
    kind, _, place = address.partition("://")
    if kind not in {"unix", "tcp", "http"}:
        return True
    with contextlib.suppress(OSError, BrokerFailed), contextlib.closing(_connect(kind, place, seconds)) as connection:
        connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
        return connection.recv(4096).startswith(b"HTTP/")
    return False


def environment(host: str, port: int) -> dict[str, str]:
    """Return every variable the image needs: one KAFKA_ variable makes it drop all of its own defaults."""
    inside = Listeners("", port, INNER_CONTROLLER_PORT, advertised=host, inner_port=INNER_PORT)
    return as_environment(single_node(inside))


def start_container(port: int | None = None) -> ContainerKafka:
    """Start one and return when it answers; the first time this pulls the image.

    Raises Unavailable where no engine answers, the image cannot be had, or Kafka does not come up in it.
    """
    address = get_docker_host() or USUAL_ENGINE
    if not engine_answers(address):
        raise Unavailable(f"no Docker engine answers at {address}")
    try:
        return _started(DockerContainer(IMAGE), port or probe.free_port())
    except Unavailable:
        raise
    except Exception as error:  # docker, requests and urllib3 raise a dozen unrelated kinds
        raise Unavailable(f"{IMAGE} did not start: {error}") from error


def _started(container: DockerContainer, port: int) -> ContainerKafka:
    host = container.get_docker_client().host()
    host = "127.0.0.1" if host == "localhost" else host  # the engine may publish on one of localhost's two addresses
    ready = LogMessageWaitStrategy("Kafka Server started").with_startup_timeout(timedelta(seconds=START_SECONDS))
    container.with_envs(**environment(host, port)).with_bind_ports(INNER_PORT, port).waiting_for(ready)
    with contextlib.ExitStack() as on_failure:
        on_failure.callback(container.stop)
        container.start()
        if not probe.answers_within(f"{host}:{port}", 10.0):
            raise Unavailable(f"{IMAGE} started, but {host}:{port} does not answer")
        on_failure.pop_all()
    return ContainerKafka(container, host, port)


def _connect(kind: str, place: str, seconds: float) -> socket.socket:
    if kind != "unix":
        ((host, port),) = probe.addresses(place.strip("/"))
        return socket.create_connection((host, port), seconds)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(seconds)
    try:
        connection.connect(place)
    except OSError:
        connection.close()
        raise
    return connection
