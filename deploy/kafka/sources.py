"""Which broker to use: the one named in the environment, else a container, else one on this machine's Java."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from deploy.kafka import probe
from deploy.kafka.broker import Broker
from deploy.kafka.errors import BrokerFailed, Unavailable
from deploy.kafka.jars import DEFAULT_CACHE, find_java, resolve

VARIABLE: Final = "KAFKA_BOOTSTRAP_SERVERS"
EXTERNAL_SECONDS: Final = 10.0


class Kafka(Protocol):
    """A Kafka that answers, wherever it came from."""

    @property
    def bootstrap_servers(self) -> str:
        """The address for clients: `host:port`, or several with commas."""

    @property
    def origin(self) -> str:
        """Where it comes from and where its log is, in words."""

    def is_running(self) -> bool:
        """Say whether it is still there."""

    def close(self) -> None:
        """Stop it and remove its data, if it was started here."""


@dataclass(frozen=True)
class External:
    """A broker that somebody else runs."""

    bootstrap_servers: str
    origin: str = f"as {VARIABLE} says; nothing was started"

    def is_running(self) -> bool:
        """Ask it."""
        return probe.answers(self.bootstrap_servers, 2.0)

    def close(self) -> None:
        """Leave it as it is."""


@dataclass(frozen=True)
class Source:
    """One way to a broker: `open` returns one that answers, or raises Unavailable."""

    name: str
    open: Callable[[], Kafka]


def open_kafka(environment: Mapping[str, str], cache: Path = DEFAULT_CACHE, port: int | None = None) -> Kafka:
    """Return the first Kafka to be had, ready for clients; on `port`, if one is started and a port is given.

    Raises Unavailable with every source's reason, or BrokerFailed where one that should work does not.
    """
    return first_available(sources(environment, cache, port))


def sources(environment: Mapping[str, str], cache: Path, port: int | None) -> list[Source]:
    """List the ways in their order. An address in the environment is somebody's wish: there is no way round it."""
    if address := environment.get(VARIABLE):
        return [Source(VARIABLE, lambda: open_external(address, EXTERNAL_SECONDS))]
    return [
        Source("container", lambda: _open_container(port)),
        Source("Java", lambda: open_java(cache, port)),
    ]


def first_available(candidates: Sequence[Source]) -> Kafka:
    """Open the first of the candidates that can be had; raises Unavailable with the reasons of all."""
    reasons = []
    for source in candidates:
        try:
            return source.open()
        except Unavailable as reason:
            reasons.append(f"{source.name}: {reason}")
    raise Unavailable("; ".join(reasons))


def open_external(bootstrap_servers: str, seconds: float) -> External:
    """Return the broker at this address; raises BrokerFailed if none answers (plaintext) within `seconds`."""
    if not probe.answers_within(bootstrap_servers, seconds):
        raise BrokerFailed(f"{VARIABLE}={bootstrap_servers}: no broker answers there within {seconds:.0f} s")
    return External(bootstrap_servers)


def open_java(cache: Path, port: int | None = None) -> Broker:
    """Start a broker on this machine's Java; raises Unavailable without Java or jars, BrokerFailed if it fails."""
    broker = java_broker(cache, port=port)
    try:
        broker.start()
    except BaseException:
        broker.close()
        raise
    return broker


def java_broker(cache: Path, *, port: int | None = None, settings: Mapping[str, str] | None = None) -> Broker:
    """Make ready, but do not start, a broker on this machine's Java; `settings` are lines of server.properties.

    The first time this fetches the jars. Raises Unavailable without Java or jars.
    """
    java = find_java()
    return Broker(resolve(cache), java, cache / "kafka-logs", port=port, settings=settings)


def in_ci(environment: Mapping[str, str]) -> bool:
    """Say whether this is CI, where a missing broker is a failure and no reason to skip."""
    return environment.get("CI", "").strip().lower() not in {"", "0", "false"}


def _open_container(port: int | None) -> Kafka:
    try:
        from deploy.kafka.container import start_container  # noqa: PLC0415 - may be missing; slow
    except ImportError as error:
        raise Unavailable(f"testcontainers is not installed ({error.name})") from error
    return start_container(port)
