"""The gateway's metrics: each call when it is over, and what is held right now."""

from collections.abc import Callable

from prometheus_client import Gauge, Histogram
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
        self._seconds = Histogram(
            f"{PREFIX}request_seconds",
            "Time of a call, by route and status.",
            ["route", "status"],
            buckets=BUCKETS,
            registry=parts.registry,
        )
        gauges: dict[str, tuple[str, Callable[[], float]]] = {
            "requests_at_work": ("Requests at work.", lambda: parts.room.requests),
            "body_bytes": ("Bytes of their bodies.", lambda: parts.room.bytes),
            "pending_requests": ("Requests whose replies are waited for.", lambda: parts.client.open_requests),
            "pending_restaurants": ("Restaurants of these.", lambda: parts.client.open_restaurants),
            "silent": ("1 while nobody answers requests.", lambda: parts.client.silent),
            "ready": ("1 while requests are taken.", lambda: not parts.missing()),
            "view_restaurants": ("Restaurants whose latest results are known.", lambda: parts.latest.restaurants),
            "view_complete": ("1 until a restaurant is forgotten for want of room.", lambda: parts.latest.complete),
        }
        for name, (text, value) in gauges.items():
            Gauge(f"{PREFIX}{name}", text, registry=parts.registry).set_function(value)
        parts.registry.register(_Dropped(parts))

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one call. Routes come from the app, never from the caller: their number is bounded."""
        route = getattr(scope.get("route"), "path_format", "other")
        self._seconds.labels(route, str(status) if status else CLIENT_GONE).observe(seconds)


class _Dropped(Collector):
    """Records that were left out, from the counts where they happen."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def collect(self) -> list[CounterMetricFamily]:
        """Replies that nobody waited for, and results that could not be read."""
        dropped = self._parts.client.dropped
        counts = {"unknown": dropped.unknown, "repeat": dropped.repeats, "unreadable": dropped.unreadable}
        replies = CounterMetricFamily(f"{PREFIX}replies_dropped", "Replies nobody waited for.", labels=["reason"])
        for reason, count in counts.items():
            replies.add_metric([reason], count)
        text = "Results that the view could not read."
        return [replies, CounterMetricFamily(f"{PREFIX}view_unreadable", text, value=self._parts.latest.unreadable)]
