"""How to reach Kafka: one set of settings for consumer and producer, environment variables `KAFKA_...`."""

import shlex
import ssl
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.reachability import PROBE_SECONDS
from schemas.tokens import TokenSource, by_command, by_url

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]


class KafkaConnection(BaseSettings):
    """Address and credentials. `bootstrap_servers` may be absent here; whoever needs it asks for it."""

    model_config = SettingsConfigDict(env_prefix="KAFKA_", frozen=True, extra="ignore")

    bootstrap_servers: str | None = Field(None, description="Brokers as host:port, separated by commas.")
    security_protocol: SecurityProtocol = Field("PLAINTEXT", description="How to talk to the brokers.")
    sasl_mechanism: SaslMechanism = Field("PLAIN", description="How to log in, with SASL_...")
    sasl_username: str | None = Field(None, description="Needed with PLAIN and SCRAM.")
    sasl_password: SecretStr | None = Field(None, description="Needed with PLAIN and SCRAM.")
    sasl_oauth_token_command: str | None = Field(
        None, description="With OAUTHBEARER: a command that prints a token; no secret belongs in it."
    )
    sasl_oauth_token_url: str | None = Field(
        None, pattern=r"^https?://", description="With OAUTHBEARER: where client id and secret get a token."
    )
    sasl_oauth_client_id: str | None = Field(None, description="Needed with the token URL.")
    sasl_oauth_client_secret: SecretStr | None = Field(None, description="Needed with the token URL.")
    sasl_oauth_scope: str | None = Field(None, description="Scope to ask the token URL for.")
    sasl_oauth_timeout_seconds: float = Field(10.0, gt=0, le=60, description="Bound on getting a token.")
    ssl_cafile: Path | None = Field(None, description="PEM file of the authorities to trust; default: the system's.")
    ssl_certfile: Path | None = Field(None, description="PEM file of the client's certificate.")
    ssl_keyfile: Path | None = Field(None, description="PEM file of the client's key.")
    ssl_password: SecretStr | None = Field(None, description="Pass phrase of the client's key.")
    request_timeout_seconds: float = Field(30.0, gt=0, le=600, description="Bound on one request to a broker.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if problems := list(self._problems()):
            raise ValueError("; ".join(problems))
        return self

    @property
    def uses_sasl(self) -> bool:
        """Whether the client logs in by SASL."""
        return self.security_protocol.startswith("SASL_")

    @property
    def log_in_seconds(self) -> float:
        """What one attempt to log in may take, for a message that says why it fails; seconds."""
        return PROBE_SECONDS + (self.sasl_oauth_timeout_seconds if self.sasl_mechanism == "OAUTHBEARER" else 0.0)

    def client_options(self) -> dict[str, Any]:
        """Keyword arguments that every aiokafka client takes. Reads the certificate files; OSError names a bad one.

        With OAUTHBEARER `sasl_oauth_token_provider` is still missing: it must be of aiokafka's own kind, and takes its
        tokens from `token_source`.
        """
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
            "request_timeout_ms": int(self.request_timeout_seconds * 1000),
        }
        if self.uses_sasl:
            options["sasl_mechanism"] = self.sasl_mechanism
            if self.sasl_password:
                options["sasl_plain_username"] = self.sasl_username
                options["sasl_plain_password"] = self.sasl_password.get_secret_value()
        if self.security_protocol.endswith("SSL"):
            options["ssl_context"] = _ssl_context(self)
        return options

    def token_source(self) -> TokenSource | None:
        """Where tokens come from, one for all clients of equal settings; None without OAUTHBEARER."""
        return _token_source(self) if self.uses_sasl and self.sasl_mechanism == "OAUTHBEARER" else None

    def _problems(self) -> Iterator[str]:
        if self.ssl_keyfile and not self.ssl_certfile:
            yield "KAFKA_SSL_KEYFILE needs KAFKA_SSL_CERTFILE"
        if not self.uses_sasl:
            return
        if self.sasl_mechanism == "OAUTHBEARER":
            yield from self._oauth_problems()
        elif not (self.sasl_username and self.sasl_password):
            protocol = self.security_protocol
            yield f"KAFKA_SECURITY_PROTOCOL={protocol} needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"

    def _oauth_problems(self) -> Iterator[str]:
        command, url = self.sasl_oauth_token_command, self.sasl_oauth_token_url
        if (command is None) == (url is None):
            yield (
                "KAFKA_SASL_MECHANISM=OAUTHBEARER needs one of KAFKA_SASL_OAUTH_TOKEN_COMMAND and "
                "KAFKA_SASL_OAUTH_TOKEN_URL"
            )
        if command is not None and not _splits(command):
            yield "KAFKA_SASL_OAUTH_TOKEN_COMMAND is empty, or has a quotation mark without its other half"
        if url is not None and not (self.sasl_oauth_client_id and self.sasl_oauth_client_secret):
            yield ("KAFKA_SASL_OAUTH_TOKEN_URL needs KAFKA_SASL_OAUTH_CLIENT_ID and KAFKA_SASL_OAUTH_CLIENT_SECRET")


def _splits(command: str) -> bool:
    try:
        return bool(shlex.split(command))
    except ValueError:
        return False


@lru_cache(maxsize=8)  # a member has a client a partition: the authorities are read once
def _ssl_context(connection: KafkaConnection) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=connection.ssl_cafile)
    if connection.ssl_certfile:
        # a pass phrase that is missing must be an error: OpenSSL would ask at the terminal, and wait
        secret = connection.ssl_password.get_secret_value() if connection.ssl_password else ""
        context.load_cert_chain(connection.ssl_certfile, connection.ssl_keyfile, secret)
    return context


@lru_cache(maxsize=8)
def _token_source(connection: KafkaConnection) -> TokenSource:
    seconds = connection.sasl_oauth_timeout_seconds
    if connection.sasl_oauth_token_command:
        return TokenSource(by_command(connection.sasl_oauth_token_command, seconds), seconds)
    secret = connection.sasl_oauth_client_secret
    url, client_id = connection.sasl_oauth_token_url or "", connection.sasl_oauth_client_id or ""
    fetch = by_url(url, client_id, secret.get_secret_value() if secret else "", connection.sasl_oauth_scope, seconds)
    return TokenSource(fetch, seconds)
