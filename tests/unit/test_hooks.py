"""Metrics, health and their pages; a listener that fails stops nothing."""

import logging
import socket
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry

from consumer.errors import ConfigError
from consumer.hooks import logs
from consumer.hooks.events import Event, Hooks, What
from consumer.hooks.health import Health
from consumer.hooks.http import serving
from consumer.hooks.logs import log_listener
from consumer.hooks.metrics import Metrics
from consumer.hooks.pulled import Lanes


def test_a_failing_listener_stops_nothing_and_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    """The others still hear every event."""
    heard: list[Event] = []

    def broken(_: Event) -> None:
        raise RuntimeError("no disk")

    hooks = Hooks([broken, heard.append])
    hooks(Event(What.RETRY))
    hooks(Event(What.RETRY))
    assert len(heard) == 2
    assert len(caplog.records) == 1


@pytest.mark.parametrize("what", list(What))
def test_every_event_can_be_counted_and_logged(what: What) -> None:
    """No kind makes a listener fail."""
    values = {What.CONFIGURED: (1, 2), What.LOAD: (1, 2, 3), What.TOKENS: (1, 2, 3)}.get(what, (0.5,))
    event = Event(what, "restaurant.reviews", 1, "sentiment", "analyzed", 2, 0.5, 0.5, "why", values)
    Metrics(CollectorRegistry())(event)
    log_listener(lambda: 0.0)(event)


def test_a_lane_that_restores_says_so_now_and_then_and_its_gauge_ends_at_zero(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It tells of every two thousand records: a line each 5 s and one at the end, the metric each time."""
    now, registry = [100.0], CollectorRegistry()
    metrics, listen = Metrics(registry), log_listener(lambda: now[0])
    gauge = ("review_consumer_restore_remaining_offsets", {"topic": "t", "partition": "3"})
    with caplog.at_level(logging.INFO, "consumer.events"):
        for step in range(120):  # 12 s
            now[0] = 100.0 + step / 10
            for hear in (metrics, listen):
                hear(Event(What.RESTORING, "t", 3, count=240_000 - step * 2000))
            assert registry.get_sample_value(*gauge) == 240_000 - step * 2000
        for hear in (metrics, listen):
            hear(Event(What.RESTORED, "t", 3, count=240_000, seconds=12.0))
        listen(Event(What.RESTORED, "t", 4, count=0))
    assert registry.get_sample_value(*gauge) == 0
    lines = [(line.getMessage(), vars(line).get("remaining")) for line in caplog.records]
    assert lines == [("restoring", 140_000), ("restoring", 40_000), ("restored", None)]
    assert vars(caplog.records[-1])["records"] == 240_000


def test_the_metrics_count(caplog: pytest.LogCaptureFixture) -> None:
    """A few that operators will look at first."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics(Event(What.RECEIVED, "restaurant.reviews", count=500))
    metrics(Event(What.RESULT, "restaurant.reviews", kind="sentiment", reason="analyzed", count=3))
    metrics(Event(What.RESULT, kind="summary", reason="analyzed"))
    metrics(Event(What.DEAD_LETTER, "restaurant.reviews", reason="not_json"))
    metrics(Event(What.BATCH_STARTED, reason="full_tokens", count=40, ratio=0.9, values=(3600,)))
    metrics(Event(What.LOAD, count=3000, values=(80_000, 2, 20)))
    name = "review_consumer_"
    assert registry.get_sample_value(f"{name}received_records_total", {"topic": "restaurant.reviews"}) == 500
    for outcome, count in (("analyzed", 3), ("dead_letter", 1)):
        labels = {"topic": "restaurant.reviews", "outcome": outcome}
        assert registry.get_sample_value(f"{name}records_total", labels) == count
    assert registry.get_sample_value(f"{name}results_total", {"kind": "summary", "outcome": "analyzed"}) == 1
    assert (
        registry.get_sample_value(f"{name}dead_letters_total", {"topic": "restaurant.reviews", "reason": "not_json"})
        == 1
    )
    assert registry.get_sample_value(f"{name}batch_items_sum") == 40
    assert registry.get_sample_value(f"{name}in_flight_tokens") == 3000
    assert registry.get_sample_value(f"{name}in_flight_ceiling_batches") == 20
    with caplog.at_level(logging.INFO, "consumer.events"):
        log_listener(lambda: 0.0)(Event(What.DEAD_LETTER, "restaurant.reviews", 3, reason="not_json", detail="why"))
    assert "dead letter" in caplog.text


def test_the_engines_state_is_a_metric() -> None:
    """Up, down and why, how often it was started again, and how many items are kept apart."""
    registry = CollectorRegistry()
    metrics, name = Metrics(registry), "review_consumer_"
    metrics(Event(What.ENGINE_UP))
    assert registry.get_sample_value(f"{name}engine_up") == 1
    metrics(Event(What.ENGINE_DOWN, reason="died", detail="gone"))
    metrics(Event(What.ENGINE_RESTART))
    metrics(Event(What.SUSPECTS, count=7))
    assert registry.get_sample_value(f"{name}engine_up") == 0
    assert registry.get_sample_value(f"{name}engine_outages_total", {"reason": "died"}) == 1
    assert registry.get_sample_value(f"{name}engine_restarts_total") == 1
    assert registry.get_sample_value(f"{name}suspect_items") == 7


def _get(port: int, path: str) -> tuple[int, bytes]:
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()


def free_port() -> int:
    """Of this host, for a moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_the_pages_tell_the_truth() -> None:
    """Alive while the loop turns, ready while records are taken, each with its reasons."""
    now = [0.0]
    health, registry = Health(lambda: now[0], stall_seconds=60), CollectorRegistry()
    Metrics(registry)
    with serving(free_port(), registry, health, Lanes()) as port:
        assert _get(port, "/readyz") == (503, b'{"ok":false,"reasons":["starting"]}')
        health.not_ready()
        assert _get(port, "/readyz") == (200, b'{"ok":true,"reasons":[]}')
        assert _get(port, "/livez")[0] == 200
        now[0] = 61.0
        health.ticked(0.0)
        assert _get(port, "/livez") == (503, b'{"ok":false,"reasons":["the poll loop has stood for 61 s"]}')
        health.polled()
        assert _get(port, "/livez")[0] == 200
        assert b"review_consumer_waiting_items" in _get(port, "/metrics")[1]
        assert _get(port, "/other")[0] == 404


def test_a_port_that_is_taken_is_named() -> None:
    """With what can be done about it."""
    health, registry = Health(lambda: 0.0, 60), CollectorRegistry()
    with (
        serving(free_port(), registry, health, Lanes()) as port,
        pytest.raises(ConfigError, match=f"METRICS_PORT={port}"),
        serving(port, registry, health, Lanes()),
    ):
        pass


def test_port_0_serves_nothing() -> None:
    """For the demo, and for many members on one host."""
    with serving(0, CollectorRegistry(), Health(lambda: 0.0, 60), Lanes()) as port:
        assert port == 0


def test_a_library_repeats_itself_once_in_a_while() -> None:
    """With how often it said so meanwhile; our own lines all pass."""
    now = [0.0]
    repeats = logs.Repeats(lambda: now[0])

    def passes(name: str, text: str, *args: object) -> logging.LogRecord | None:
        line = logging.LogRecord(name, logging.ERROR, "", 0, text, args, None)
        return line if repeats.filter(line) else None

    assert passes("aiokafka.conn", "no node %s", 1)
    assert not passes("aiokafka.conn", "no node %s", 2)
    assert not passes("aiokafka.conn", "no node %s", 3)
    assert passes("aiokafka.conn", "another")
    assert passes("consumer.x", "ours")
    assert passes("consumer.x", "ours")
    now[0] = logs.REPEAT_SECONDS
    again = passes("aiokafka.conn", "no node %s", 4)
    assert again
    assert vars(again)["left_out"] == 2
