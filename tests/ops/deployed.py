"""What is deployed, as data: the files of deploy/, the variables that the programs read, the paths that they serve."""

from pathlib import Path
from typing import Any, Final

import yaml

from consumer.settings import entries, load
from producer.settings import GatewaySettings
from schemas.connection import KafkaConnection
from schemas.secret_files import SecretFiles
from schemas.topics import TopicNames

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
COMPOSE: Final = ROOT / "docker-compose.yml"
MANIFESTS: Final = sorted((DEPLOY / "kubernetes").glob("*.yaml"))

OTHERS_VARIABLES: Final = {"HF_TOKEN_PATH": "huggingface_hub, which vLLM fetches weights with"}
"""Variables of our containers that are not ours, and whose they are."""


def compose() -> dict[str, Any]:
    """The compose file's services."""
    services: dict[str, Any] = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"]
    return services


def manifests() -> list[dict[str, Any]]:
    """All objects of deploy/kubernetes."""
    return [one for file in MANIFESTS for one in yaml.safe_load_all(file.read_text("utf-8"))]


def manifest(kind: str, name: str) -> dict[str, Any]:
    """One of them."""
    (found,) = [m for m in manifests() if m["kind"] == kind and m["metadata"]["name"] == name]
    return found


def consumer_variables() -> set[str]:
    """Every variable that `review-consumer` reads."""
    return {entry.variable for entry in entries(load())}


def gateway_variables() -> set[str]:
    """Every variable that `review-producer gateway` reads."""
    sections = (GatewaySettings, KafkaConnection, TopicNames, SecretFiles)
    return {f"{s.model_config.get('env_prefix', '')}{name}".upper() for s in sections for name in s.model_fields}
