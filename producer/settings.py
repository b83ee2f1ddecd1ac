"""Settings of the upstream side, and its only reader of the environment: how to reach Kafka, and the topics' names."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from producer.errors import CannotGoOn
from schemas.connection import KafkaConnection
from schemas.topics import TopicNames

MAX_IN_FLIGHT = 1_000
"""Events sent whose acknowledgement is awaited."""
CONNECT_SECONDS = 15.0
"""Bound on finding a broker and the topics."""
DELIVERY_SECONDS = 60.0
"""Bound on the acknowledgement of one event, the library's own retries included."""

S = TypeVar("S", bound=BaseSettings)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set by environment variables: `KAFKA_...` and `TOPIC_...`."""

    kafka: KafkaConnection
    topics: TopicNames


def load() -> Settings:
    """Read the environment. Raises CannotGoOn that names the variable, what is wrong and what is allowed."""
    settings = Settings(_section(KafkaConnection), _section(TopicNames))
    if not settings.kafka.bootstrap_servers:
        raise CannotGoOn(
            "KAFKA_BOOTSTRAP_SERVERS is not set: give the brokers as host:port, such as localhost:9092 "
            "(`make kafka` starts one for development)"
        )
    return settings


def embedded(bootstrap_servers: str) -> Settings:
    """Settings for the embedded broker: no log-in, whatever the environment says of another broker."""
    return Settings(KafkaConnection.model_construct(bootstrap_servers=bootstrap_servers), _section(TopicNames))


def child_environment(without: str, changes: Mapping[str, str], defaults: Mapping[str, str]) -> dict[str, str]:
    """This process's environment for a child: no variable that starts with `without`; changes win, defaults do not."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(without)}
    return {**defaults, **kept, **changes}


def _section(section: type[S]) -> S:
    try:
        return section()
    except ValidationError as error:
        prefix = section.model_config.get("env_prefix", "")
        found = error.errors(include_url=False, include_input=False)  # a value may be a secret
        raise CannotGoOn("; ".join(_problem(prefix, e["loc"], e["msg"]) for e in found)) from None


def _problem(prefix: str, location: tuple[int | str, ...], message: str) -> str:
    text = message.removeprefix("Value error, ")
    return f"{prefix}{location[0]}".upper() + f": {text}" if location else text
