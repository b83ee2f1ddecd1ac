"""How to reach Kafka: one set of settings for consumer and producer, environment variables `KAFKA_...`."""

import ssl
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class KafkaConnection(BaseSettings):
    """Address and credentials. `bootstrap_servers` may be absent here; whoever needs it asks for it."""

    model_config = SettingsConfigDict(env_prefix="KAFKA_", frozen=True, extra="ignore")

    bootstrap_servers: str | None = Field(None, description="Brokers as host:port, separated by commas.")
    security_protocol: SecurityProtocol = Field("PLAINTEXT", description="How to talk to the brokers.")
    sasl_mechanism: SaslMechanism = Field("PLAIN", description="How to log in, with SASL_...")
    sasl_username: str | None = Field(None, description="Needed with SASL_...")
    sasl_password: SecretStr | None = Field(None, description="Needed with SASL_...")
    ssl_cafile: Path | None = Field(None, description="PEM file of the authorities to trust; default: the system's.")
    ssl_certfile: Path | None = Field(None, description="PEM file of the client's certificate.")
    ssl_keyfile: Path | None = Field(None, description="PEM file of the client's key.")
    ssl_password: SecretStr | None = Field(None, description="Pass phrase of the client's key.")
    request_timeout_seconds: float = Field(30.0, gt=0, le=600, description="Bound on one request to a broker.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.security_protocol.startswith("SASL_") and not (self.sasl_username and self.sasl_password):
            msg = f"KAFKA_SECURITY_PROTOCOL={self.security_protocol} needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
            raise ValueError(msg)
        return self

    def client_options(self) -> dict[str, Any]:
        """Keyword arguments that every aiokafka client takes. Reads the certificate files; OSError names a bad one."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
            "request_timeout_ms": int(self.request_timeout_seconds * 1000),
        }
        if self.security_protocol.startswith("SASL_") and self.sasl_password:
            options["sasl_mechanism"] = self.sasl_mechanism
            options["sasl_plain_username"] = self.sasl_username
            options["sasl_plain_password"] = self.sasl_password.get_secret_value()
        if self.security_protocol.endswith("SSL"):
            options["ssl_context"] = self._ssl_context()
        return options

    def _ssl_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ssl_cafile)
        if self.ssl_certfile:
            secret = self.ssl_password.get_secret_value() if self.ssl_password else None
            context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile, secret)
        return context
