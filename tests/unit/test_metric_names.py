"""Names of metrics: by Prometheus's rules, each declared once, all on the page, and in the pages about them."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Metric

from consumer.hooks import pulled
from consumer.hooks.declared import ALL, Declared, Type
from consumer.hooks.gpu import Gpus
from consumer.hooks.health import Health
from consumer.hooks.metrics import Metrics
from consumer.hooks.table import markdown
from producer.gateway.metrics import CallMetrics
from tests.unit.test_pulled_metrics import Nvml

ROOT = Path(__file__).parents[2]
BOUNDED = {
    "topic",
    "partition",
    "outcome",
    "kind",
    "reason",
    "field",
    "result",
    "state",
    "gpu",
    "at",
    "status",
    "route",
}
"""Labels whose values this code, the topics or the machine bound; of the rest there is one value a process."""
ONE_VALUE = {"engine", "model", "version"}
NOT_BASE = re.compile(r"(milli|micro|nano)seconds|minutes|hours|percent|kilobytes|megabytes|_(ms|kb|mb|pct)(_|$)")


def _wrong(name: str, kind: str, text: str) -> bool:
    """What `promtool check metrics` objects to, and what the naming practices ask for."""
    return (
        re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) is None
        or name.endswith("_total") is not (kind == "counter")
        or name.endswith(("_count", "_sum", "_bucket", "_info_total"))
        or any(word in name.split("_") for word in ("counter", "gauge", "histogram"))
        or NOT_BASE.search(name) is not None
        or not text.endswith(".")
    )


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_a_name_keeps_the_rules(one: Declared) -> None:
    """The unit at its end, `_total` behind it for a counter alone; no label whose values nobody bounds."""
    assert not _wrong(one.full_name, one.type, one.help)
    base = one.name.removesuffix("_total")
    assert base.endswith(f"_{one.unit}") or one.unit in {"", base}
    assert set(one.labels) <= BOUNDED | ONE_VALUE
    assert bool(one.buckets) is (one.type is Type.HISTOGRAM)


def test_every_name_is_declared_once() -> None:
    """And means one thing."""
    assert len({one.name for one in ALL}) == len(ALL)
    assert len({one.help for one in ALL}) == len(ALL)


def _families(registry: CollectorRegistry) -> dict[str, Metric]:
    """By the name on the page."""
    return {f"{f.name}_total" if f.type == "counter" else f.name: f for f in registry.collect()}


def test_all_that_is_declared_is_on_the_page_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a GPU, as it is declared: type, unit, meaning."""
    Nvml().install(monkeypatch)
    registry = CollectorRegistry()
    Metrics(registry)
    health = Health(lambda: 0.0, 60)
    for collector in (pulled.Lanes(), pulled.EngineTime(lambda: 0.0), pulled.HealthPage(health), Gpus()):
        registry.register(collector)
    found = {name: (f.type, f.unit, f.documentation) for name, f in _families(registry).items()}
    assert found == {one.full_name: (one.type, one.unit, one.help) for one in ALL}


def test_the_table_of_metrics_is_the_generated_one() -> None:
    """Run `python -m consumer.hooks.table` and put its output between the two marks."""
    shown = re.search(
        r"consumer.hooks.table` -->\n(.*)\n<!-- end of metrics",
        (ROOT / "consumer/README.md").read_text("utf-8"),
        re.DOTALL,
    )
    assert shown
    assert shown[1] == markdown()


def test_the_gateways_names_keep_the_rules_and_are_in_its_page() -> None:
    """All of them, and no others."""
    registry = CollectorRegistry()
    dropped = SimpleNamespace(unknown=0, repeats=0, unreadable=0)
    parts: Any = SimpleNamespace(
        registry=registry,
        room=SimpleNamespace(requests=0, bytes=0),
        client=SimpleNamespace(open_requests=0, open_restaurants=0, silent=False, dropped=dropped),
        latest=SimpleNamespace(restaurants=0, complete=True, unreadable=0),
        missing=list,
    )
    CallMetrics(parts)
    families = _families(registry)
    assert not [name for name, family in families.items() if _wrong(name, family.type, family.documentation)]
    page = (ROOT / "producer/README.md").read_text("utf-8")
    assert set(re.findall(r"`(review_gateway_[a-z_]+)`", page)) == set(families)


@pytest.mark.parametrize("page", ["README.md", "deploy/README.md", "consumer/README.md"])
def test_pages_name_only_metrics_that_there_are(page: str) -> None:
    """A name that was changed is changed there too."""
    named = set(re.findall(r"`(review_consumer_[a-z_]+)", (ROOT / page).read_text("utf-8")))
    assert named <= {one.full_name for one in ALL}
