"""Settings of the upstream side, and its only reader of the environment: how to reach Kafka, and the topics' names."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from producer.errors import CannotGoOn
from schemas.connection import KafkaConnection
from schemas.secret_files import SecretFiles
from schemas.topics import TopicNames

MAX_IN_FLIGHT = 1_000
"""Events sent whose acknowledgement is awaited."""
CONNECT_SECONDS = 15.0
"""Bound on finding a broker and the topics."""
DELIVERY_SECONDS = 60.0
"""Bound on the acknowledgement of one event, the library's own retries included."""

S = TypeVar("S", bound=BaseSettings)


class GatewaySettings(BaseSettings):
    """The HTTP gateway: environment variables `GATEWAY_...`."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address to listen on; `0.0.0.0` for all.")
    port: int = Field(8000, ge=0, le=65_535, description="Port to listen on; 0 for a free one.")
    timeout_seconds: float = Field(60, gt=0, le=3600, description="Bound on one request's analyses.")
    body_timeout_seconds: float = Field(
        20, gt=0, le=600, description="Bound on receiving a body, and on handing over a reply."
    )
    max_body_bytes: int = Field(4 * 1024 * 1024, ge=1024, le=64 * 1024 * 1024, description="Bytes of a body.")
    max_restaurants: int = Field(1000, ge=1, le=10_000, description="Restaurants of a request.")
    max_reviews: int = Field(20_000, ge=1, le=1_000_000, description="Reviews of a request, all restaurants together.")
    max_concurrent_requests: int = Field(256, ge=1, le=10_000, description="Requests at work; more get 503.")
    max_bytes_in_flight: int = Field(
        64 * 1024 * 1024, ge=1024, description="Bytes of all bodies at work; a request beyond gets 503."
    )
    max_pending_restaurants: int = Field(
        10_000, ge=1, le=1_000_000, description="Restaurants waited for, all requests together; more get 503."
    )
    max_connections: int = Field(1024, ge=1, le=100_000, description="Connections; more get 503.")
    view_dir: Path | None = Field(
        None, description="Where the view of the latest results lies; default: the temp folder."
    )
    view_max_bytes: int = Field(
        1024 * 1024 * 1024, ge=16 * 1024 * 1024, description="Disk that this view may take; the least recent go first."
    )
    api_keys: SecretStr | None = Field(None, description="Keys, separated by commas; one is asked for as X-API-Key.")
    cors_origins: str = Field("", description="Origins that browsers may ask from, separated by commas; `*` for all.")
    shutdown_seconds: float = Field(10, gt=0, le=600, description="Bound on finishing requests when stopped.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.max_restaurants > self.max_pending_restaurants:
            raise ValueError("GATEWAY_MAX_RESTAURANTS is above GATEWAY_MAX_PENDING_RESTAURANTS")
        if self.max_body_bytes > self.max_bytes_in_flight:
            raise ValueError("GATEWAY_MAX_BODY_BYTES is above GATEWAY_MAX_BYTES_IN_FLIGHT")
        if self.api_keys is not None and not self.keys:
            raise ValueError("GATEWAY_API_KEYS holds no key; unset it to ask for none")
        return self

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that are accepted; none where none is asked for."""
        return _listed(self.api_keys.get_secret_value() if self.api_keys else "")

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins of CORS."""
        return _listed(self.cors_origins)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set by environment variables: `KAFKA_...` and `TOPIC_...`."""

    kafka: KafkaConnection
    topics: TopicNames


def load() -> Settings:
    """Read environment and secret files. CannotGoOn names the variable, what is wrong and what is allowed."""
    settings = Settings(_section(KafkaConnection), _section(TopicNames))
    if not settings.kafka.bootstrap_servers:
        raise CannotGoOn(
            "KAFKA_BOOTSTRAP_SERVERS is not set: give the brokers as host:port, such as localhost:9092 "
            "(`make kafka` starts one for development)"
        )
    return settings


def load_gateway() -> GatewaySettings:
    """Read the gateway's part of the environment. Raises CannotGoOn as `load` does."""
    return _section(GatewaySettings)


def gateway_table() -> str:
    """The gateway's settings as the rows of the README's table."""
    rows = ((f"GATEWAY_{name}".upper(), field) for name, field in GatewaySettings.model_fields.items())
    lines = (f"| `{variable}` | {_default(field.default)} | {field.description} |" for variable, field in rows)
    return "\n".join(("| variable | default | meaning |", "|---|---|---|", *lines))


def embedded(bootstrap_servers: str) -> Settings:
    """Settings for the embedded broker: no log-in, whatever the environment says of another broker."""
    return Settings(KafkaConnection.model_construct(bootstrap_servers=bootstrap_servers), _section(TopicNames))


def child_environment(without: str, changes: Mapping[str, str], defaults: Mapping[str, str]) -> dict[str, str]:
    """This process's environment for a child: no variable that starts with `without`; changes win, defaults do not."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(without)}
    return {**defaults, **kept, **changes}


def _listed(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in text.split(","))))


def _default(value: object) -> str:
    return "" if value in (None, "") else f"`{value}`"


def _section(section: type[S]) -> S:
    secrets = None if issubclass(section, SecretFiles) else _section(SecretFiles).found
    try:
        return section(_secrets_dir=secrets)
    except ValidationError as error:
        prefix = section.model_config.get("env_prefix", "")
        found = error.errors(include_url=False, include_input=False)  # a value may be a secret
        raise CannotGoOn("; ".join(_problem(prefix, e["loc"], e["msg"]) for e in found)) from None
    except SettingsError as error:  # a secret file that cannot be read
        raise CannotGoOn(str(error.__cause__ or error)) from None


def _problem(prefix: str, location: tuple[int | str, ...], message: str) -> str:
    text = message.removeprefix("Value error, ")
    return f"{prefix}{location[0]}".upper() + f": {text}" if location else text
