"""Metrics that are worked out when the page is read: lanes, the engine's time, health, GPUs, vLLM's own."""

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Gauge, generate_latest

from consumer.hooks import declared
from consumer.hooks.events import Event, What
from consumer.hooks.gpu import Gpus
from consumer.hooks.health import Health
from consumer.hooks.lanes import LaneView
from consumer.hooks.pulled import EngineTime, HealthPage, Lanes, VllmMetrics

LANE = LaneView(
    topic="t",
    partition=3,
    state="open",
    paused="",
    committed=10,
    end=30,
    lag=20,
    lag_seconds=4.5,
    in_flight=5,
    in_flight_bytes=100,
    oldest_offset=10,
    oldest_age=2.0,
    oldest_stage="engine",
    unanswered_age=1.5,
    trouble="",
    state_bytes=4096,
)


def _value(registry: CollectorRegistry, one: declared.Declared, **labels: str) -> float | None:
    return registry.get_sample_value(one.full_name, labels)


def test_a_partition_that_left_has_no_series() -> None:
    """Its new owner has: a sum over members counts each partition once."""
    lanes, registry = Lanes(), CollectorRegistry()
    registry.register(lanes)
    lanes(Event(What.LANES, lanes=(LANE, replace(LANE, partition=4, lag=1, paused="full"))))
    place = {"topic": "t", "partition": "3"}
    assert _value(registry, declared.LAG_RECORDS, **place) == 20
    assert _value(registry, declared.LAG_SECONDS, **place) == 4.5
    assert _value(registry, declared.STATE_BYTES, **place) == 4096
    assert _value(registry, declared.OLDEST_WAITING_REVIEW) == 1.5
    assert _value(registry, declared.PAUSED_PARTITIONS, topic="t", reason="full") == 1
    lanes(Event(What.LANES, lanes=(replace(LANE, lag=None),)))
    assert _value(registry, declared.LAG_RECORDS, **place) is None  # nobody knows the end yet
    lanes(Event(What.LANES))
    assert _value(registry, declared.STATE_BYTES, **place) is None
    assert _value(registry, declared.OLDEST_WAITING_REVIEW) == 0


def test_the_engines_time_is_split_by_what_it_does() -> None:
    """Idle with nothing to do is well; idle though items wait is not. What is under way counts too."""
    now = [0.0]
    registry, time = CollectorRegistry(), EngineTime(lambda: now[0])
    registry.register(time)

    def after(seconds: float, *events: Event) -> None:
        now[0] += seconds
        for event in events:
            time(event)

    after(2, Event(What.ENGINE_UP))  # down for 2 s
    after(3, Event(What.WAITING, count=4))  # idle for 3
    after(1, Event(What.BATCH_STARTED), Event(What.BATCH_STARTED), Event(What.WAITING, count=0))  # held for 1
    after(5, Event(What.BATCH_ENDED))
    after(5, Event(What.BATCH_ENDED))  # busy for 10
    after(7)  # idle again
    name = "review_consumer_engine_time_seconds_total"
    found = {state: registry.get_sample_value(name, {"state": state}) for state in EngineTime.STATES}
    assert found == {"down": 2, "idle": 10, "held": 1, "busy": 10}
    assert sum(value or 0 for value in found.values()) == now[0]


def test_health_is_a_metric() -> None:
    """For alerts: a probe's answer is in no time series."""
    now = [0.0]
    health, registry = Health(lambda: now[0], 60), CollectorRegistry()
    registry.register(HealthPage(health))
    assert _value(registry, declared.READY) == 0
    health.not_ready()
    health.ticked(0.25)
    assert _value(registry, declared.READY) == 1
    now[0] = 3.0
    assert _value(registry, declared.POLL_AGE) == 3
    assert _value(registry, declared.EVENT_LOOP_LAG) == 0.25


@dataclass
class Nvml:
    """NVIDIA's library with two GPUs, the second of which tells no utilisation."""

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """In the real one's place."""
        monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 2)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda number: number)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetUtilizationRates", self._rates)
        memory = SimpleNamespace(used=10 << 30, total=80 << 30)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda _: memory)

    @staticmethod
    def _rates(handle: int) -> Any:
        if handle == 1:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(gpu=37, memory=5)


def test_gpus_are_asked_where_there_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    """In ratios and bytes; what one does not tell is left out."""
    Nvml().install(monkeypatch)
    registry = CollectorRegistry()
    registry.register(Gpus())
    assert _value(registry, declared.GPU_UTILIZATION, gpu="0") == 0.37
    assert _value(registry, declared.GPU_UTILIZATION, gpu="1") is None
    assert _value(registry, declared.GPU_MEMORY_USED, gpu="1") == 10 << 30
    assert _value(registry, declared.GPU_MEMORY_SIZE, gpu="1") == 80 << 30


def test_without_a_driver_there_is_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """No series and no error: most machines have none."""

    def init() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", init)
    registry = CollectorRegistry()
    registry.register(Gpus())
    assert generate_latest(registry) == b""


def test_vllms_own_metrics_are_on_the_page_and_nothing_else_of_its_registry() -> None:
    """They are registered with the default registry, where the process's own are as well."""
    gauge = Gauge("vllm:num_requests_running", "as vLLM names it", ["model_name"])
    try:
        gauge.labels("qwen").set(3)
        registry = CollectorRegistry()
        registry.register(VllmMetrics())
        page = generate_latest(registry).decode()
    finally:
        REGISTRY.unregister(gauge)
    assert 'vllm:num_requests_running{model_name="qwen"} 3.0' in page
    assert "python_info" not in page
