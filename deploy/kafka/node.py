"""The settings of a Kafka that is one node: the same for a container and for Java."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Listeners:
    """Where one node listens and what it tells its clients.

    host: the address listened on, "" for every one; advertised: the host that clients are told to dial;
    port: the clients' port, as they dial it and as it is listened on unless `inner_port` says otherwise.
    """

    host: str
    port: int
    controller_port: int
    advertised: str
    inner_port: int | None = None


def single_node(listeners: Listeners) -> dict[str, str]:
    """Every setting that one KRaft node needs (names as in server.properties), its data folder aside.

    One copy of everything, since there is one node; no wait for more members of a group; no topic that nobody created,
    so that a missing topic is seen; 4 partitions instead of 50 in the internal topics, which only saves time; a shorter
    broker session, since after a crash a node is not let in before its former session is over (9 s by default).
    """
    inner = listeners.inner_port or listeners.port
    controller = f"{listeners.host}:{listeners.controller_port}"
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "listeners": f"PLAINTEXT://{listeners.host}:{inner},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{listeners.advertised}:{listeners.port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@{listeners.host or 'localhost'}:{listeners.controller_port}",
        "default.replication.factor": "1",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "broker.session.timeout.ms": "4000",
        "broker.heartbeat.interval.ms": "500",
        "auto.create.topics.enable": "false",
    }


def as_properties(settings: Mapping[str, str]) -> str:
    """Write settings as the text of a server.properties file."""
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def as_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Write settings as the variables that the apache/kafka image reads: `node.id` is `KAFKA_NODE_ID`."""
    return {"KAFKA_" + name.replace(".", "_").upper(): value for name, value in settings.items()}
