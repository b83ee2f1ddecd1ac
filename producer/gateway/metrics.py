"""The gateway's metrics: each call when it is over, and what is held right now.

Named by Prometheus's rules (https://prometheus.io/docs/practices/naming/), as the consumer's are.
"""

from collections.abc import Callable, Iterable
from importlib.metadata import version

from prometheus_client import Gauge, Histogram, Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector
from starlette.types import Scope

from producer.gateway.parts import Parts

PREFIX = "review_gateway_"
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
CLIENT_GONE = "gone"


class CallMetrics:
    """Told of every call that is over."""

    def __init__(self, parts: Parts) -> None:
        registry = parts.registry
        self._seconds = Histogram(
            f"{PREFIX}request_seconds",
            "Time of a call, by route and status (gone: the client left).",
            ["route", "status"],
            unit="seconds",
            buckets=BUCKETS,
            registry=registry,
        )
        gauges: dict[str, tuple[str, str, Callable[[], float]]] = {
            "in_flight_requests": ("requests", "Requests at work.", lambda: parts.room.requests),
            "in_flight_body_bytes": ("bytes", "Bytes of their bodies.", lambda: parts.room.bytes),
            "pending_requests": (
                "requests",
                "Requests whose replies are waited for.",
                lambda: parts.client.open_requests,
            ),
            "pending_restaurants": ("restaurants", "Restaurants of these.", lambda: parts.client.open_restaurants),
            "silent": ("", "1 while nobody answers requests, else 0.", lambda: parts.client.silent),
            "ready": ("", "1 while requests are taken, else 0.", lambda: not parts.missing()),
            "view_restaurants": (
                "restaurants",
                "Restaurants whose latest results are known.",
                lambda: parts.latest.restaurants,
            ),
            "view_complete": ("", "1 until a restaurant is forgotten for want of room.", lambda: parts.latest.complete),
        }
        for name, (unit, text, value) in gauges.items():
            Gauge(f"{PREFIX}{name}", text, unit=unit, registry=registry).set_function(value)
        info = Gauge(
            f"{PREFIX}build_info", "The version that runs, as a label; the value is 1.", ["version"], registry=registry
        )
        info.labels(version("review-consumer")).set(1)
        registry.register(_Dropped(parts))

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one call. Routes come from the app, never from the caller: their number is bounded."""
        route = getattr(scope.get("route"), "path_format", "other")
        self._seconds.labels(route, str(status) if status else CLIENT_GONE).observe(seconds)


class _Dropped(Collector):
    """Records that were left out, from the counts where they happen."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def collect(self) -> Iterable[Metric]:
        """Replies that nobody waited for, and results that could not be read."""
        dropped = self._parts.client.dropped
        counts = {"unknown": dropped.unknown, "repeat": dropped.repeats, "unreadable": dropped.unreadable}
        text = "Replies that nobody waited for: unknown, repeat, unreadable."
        replies = CounterMetricFamily(f"{PREFIX}dropped_replies", text, labels=["reason"], unit="replies")
        for reason, count in counts.items():
            replies.add_metric([reason], count)
        text = "Results that the view could not read."
        unreadable = self._parts.latest.unreadable
        return [replies, CounterMetricFamily(f"{PREFIX}unreadable_results", text, value=unreadable, unit="results")]
