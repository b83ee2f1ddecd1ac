"""The manifests against Kubernetes' and KEDA's schemas, and against what the programs are."""

from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator

from consumer.settings import load
from producer.settings import GatewaySettings
from tests.ops.deployed import (
    OTHERS_VARIABLES,
    consumer_variables,
    gateway_variables,
    manifest,
    manifests,
)

KEDA = "tests/ops/data/keda_scaledobject.yaml"
WORKLOADS = [m for m in manifests() if m["kind"] in {"Deployment", "Job"}]
OURS = [m for m in WORKLOADS if m["metadata"]["name"] != "review-vllm"]


def pod(workload: dict[str, Any]) -> dict[str, Any]:
    """Its pods' spec."""
    spec: dict[str, Any] = workload["spec"]["template"]["spec"]
    return spec


def container(workload: dict[str, Any]) -> dict[str, Any]:
    """Its one container."""
    (only,) = pod(workload)["containers"]
    return dict(only)


def named(workload: dict[str, Any]) -> str:
    """For test ids."""
    return str(workload["metadata"]["name"])


def variables(workload: dict[str, Any]) -> dict[str, str]:
    """All that its container is given."""
    shared: dict[str, str] = manifest("ConfigMap", "review-consumer")["data"]
    from_map = shared if container(workload).get("envFrom") else {}
    return from_map | {entry["name"]: entry["value"] for entry in container(workload).get("env", [])}


@pytest.mark.parametrize(
    "one", [m for m in manifests() if m["kind"] != "ScaledObject"], ids=lambda m: f"{m['kind']}-{named(m)}"
)
def test_kubernetes_takes_it(one: dict[str, Any]) -> None:
    """Strictly: no field that it would ignore."""
    kubernetes_validate.validate(one, "1.34", strict=True)


def test_keda_takes_it() -> None:
    """By the part of its CRD that is kept here."""
    with open(KEDA, encoding="utf-8") as file:  # noqa: PTH123 - beside the tests
        schema = yaml.safe_load(file)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(manifest("ScaledObject", "review-consumer"))


@pytest.mark.parametrize("workload", WORKLOADS, ids=named)
def test_variables_are_settings(workload: dict[str, Any]) -> None:
    """As in the compose file."""
    known = {
        "review-gateway": gateway_variables() | {"KAFKA_GROUP_ID", "LOG_FORMAT"},  # of the map that all share
        "review-vllm": set(OTHERS_VARIABLES),
    }
    assert set(variables(workload)) <= known.get(named(workload), consumer_variables())


@pytest.mark.parametrize("workload", [m for m in WORKLOADS if m["kind"] == "Deployment"], ids=named)
def test_probes_ask_for_what_is_served(workload: dict[str, Any]) -> None:
    """Path and port; test_expressions.py asks the programs for these paths."""
    served = {"review-vllm": {"/health"}}.get(named(workload), {"/livez", "/readyz"})
    (port,) = container(workload)["ports"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = container(workload)[probe]["httpGet"]
        assert asked["path"] in served
        assert asked["port"] == port["name"]
    expected = {"review-consumer": load().service.metrics_port, "review-gateway": GatewaySettings().port}
    assert port["containerPort"] == expected.get(named(workload), 8000)
    assert workload["spec"]["template"]["metadata"]["annotations"]["prometheus.io/port"] == str(port["containerPort"])


def test_there_is_time_to_stop() -> None:
    """What is set, or its default, fits into what Kubernetes waits."""
    consumer, gateway = manifest("Deployment", "review-consumer"), manifest("Deployment", "review-gateway")
    bound = float(variables(consumer).get("SHUTDOWN_TIMEOUT_SECONDS", load().delivery.shutdown_timeout_seconds))
    drain = float(variables(consumer).get("REVOKE_DRAIN_SECONDS", load().delivery.revoke_drain_seconds))
    assert pod(consumer)["terminationGracePeriodSeconds"] >= bound + 10
    assert drain <= bound
    bound = float(variables(gateway).get("GATEWAY_SHUTDOWN_SECONDS", GatewaySettings().shutdown_seconds))
    waits = int(container(gateway)["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod(gateway)["terminationGracePeriodSeconds"] >= waits + bound + 10


@pytest.mark.parametrize("workload", OURS, ids=named)
def test_no_rights_that_are_not_needed(workload: dict[str, Any]) -> None:
    """Kubernetes' restricted profile, a read-only root; no service links, which make variables of services' names."""
    spec, secured = pod(workload), container(workload)["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert secured == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False


@pytest.mark.parametrize("kind", ["Service", "PodDisruptionBudget", "Deployment"])
def test_selectors_find_pods(kind: str) -> None:
    """Each finds the pods of one deployment."""
    labels = [w["spec"]["template"]["metadata"]["labels"] for w in WORKLOADS]
    for one in (m for m in manifests() if m["kind"] == kind):
        selector = one["spec"]["selector"]
        wanted = selector.get("matchLabels", selector).items()
        assert len([given for given in labels if wanted <= given.items()]) == 1


def test_the_secrets_folder_is_mounted_where_it_is_looked_for() -> None:
    """And not where the service account's token lies."""
    folder = manifest("ConfigMap", "review-consumer")["data"]["SECRETS_DIR"]
    for workload in OURS:
        assert folder in {mount["mountPath"] for mount in container(workload)["volumeMounts"]}


def test_scaling_keeps_to_the_partitions() -> None:
    """As many as `topics create` is told to make; a lag of 1 a partition is none; and no partition is left out."""
    scaled = manifest("ScaledObject", "review-consumer")["spec"]
    arguments = container(manifest("Job", "review-consumer-topics"))["args"]
    partitions = int(arguments[arguments.index("--partitions") + 1])
    trigger = scaled["triggers"][0]["metadata"]
    assert trigger["allowIdleConsumers"] == "false"
    assert scaled["maxReplicaCount"] <= partitions
    assert int(trigger["activationLagThreshold"]) >= partitions
    assert trigger["excludePersistentLag"] == "false"
    assert scaled["minReplicaCount"] >= 1
    assert scaled["scaleTargetRef"]["name"] == "review-consumer"
    assert "replicas" not in manifest("Deployment", "review-consumer")["spec"]
    settings = manifest("ConfigMap", "review-consumer")["data"]
    assert trigger["consumerGroup"] == settings["KAFKA_GROUP_ID"]
    assert trigger["bootstrapServers"] == settings["KAFKA_BOOTSTRAP_SERVERS"]
    assert trigger["topic"] == load().topics.reviews
