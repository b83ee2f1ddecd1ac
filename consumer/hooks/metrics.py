"""The metrics, each declared once; a listener turns events into them. Label sets are bounded."""

from collections.abc import Callable
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from consumer.hooks.events import Event, What

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_RATIO = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
_ITEMS = (1, 2, 5, 10, 20, 50, 100, 200)


class Metrics:
    """A listener that keeps Prometheus metrics in a registry of the caller's."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"review_consumer_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"review_consumer_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"review_consumer_{name}", text, labels, buckets=buckets, registry=registry)

        self._records = counter("records_total", "Records received.", "topic")
        self._results = counter("results_total", "Results committed.", "kind", "outcome")
        self._dead_letters = counter("dead_letters_total", "Records that became dead letters.", "reason")
        self._dropped = counter("fields_dropped_total", "Bad optional fields that were dropped.", "field")
        self._batches = counter("batches_total", "Micro-batches sent to the engine.", "reason")
        self._batch = histogram("batch_seconds", "Time of a micro-batch in the engine.", _SECONDS)
        self._items = histogram("batch_items", "Items of a micro-batch.", _ITEMS)
        self._fill = histogram("batch_fill_ratio", "Tokens of a micro-batch against its budget.", _RATIO)
        self._queue = histogram("queue_seconds", "Wait of an item for its micro-batch.", _SECONDS, "kind")
        self._engine = histogram("engine_seconds", "Time of an item in the engine.", _SECONDS, "kind")
        self._commit = histogram("commit_seconds", "Time of a commit: outputs and offset.", _SECONDS)
        self._commit_failures = counter("commit_failures_total", "Commits that did not succeed.", "outcome")
        self._retries = counter("retries_total", "Items tried again after a transient error.", "kind")
        self._jobs_failed = counter("job_failures_total", "Summary and strength jobs that failed.", "kind")
        self._parked = gauge(
            "parked_jobs", "Jobs that failed too often and wait for the next review.", "topic", "partition"
        )
        self._ungrounded = counter("ungrounded_claims_total", "Claims dropped: they cited no review.", "kind")
        self._lanes = gauge("lanes", "Open lanes: partitions this member works on.", "topic")
        self._refused = counter("refused_partitions_total", "Partitions that wait for a person's decision.", "topic")
        self._restoring = gauge(
            "restore_remaining_offsets",
            "Offsets of the changelog that a partition has yet to read.",
            "topic",
            "partition",
        )
        self._paused = gauge("paused_partitions", "Partitions paused because they, or all, have enough in flight.")
        self._tokens = gauge("in_flight_tokens", "Tokens in the engine.")
        self._load = gauge("in_flight_ratio", "Tokens in the engine against their ceiling.")
        self._ceiling = gauge("in_flight_ceiling_tokens", "Tokens that may be in the engine: see ADMISSION.")
        self._running = gauge("running_batches", "Micro-batches that hold a permit.")
        self._engine_queue = gauge("engine_waiting_requests", "Requests in the engine's own queue, where it tells.")
        self._engine_cache = gauge("engine_kv_cache_ratio", "Use of the engine's KV cache, where it tells.")
        self._preempted = counter("engine_preemptions_total", "Requests that the engine preempted for want of memory.")
        self._waiting = gauge("waiting_items", "Items that wait for a micro-batch.")
        self._lookups = counter(
            "cache_lookups_total", "Items in the result cache: kept, in_flight (an equal one), asked.", "kind", "result"
        )
        self._cache_up = gauge("shared_cache_up", "1 while the shared cache answers, or none is set; else 0.")
        self._cache_up.set(1)
        self._up = gauge("engine_up", "1 while the engine takes work, else 0.")
        self._outages = counter("engine_outages_total", "Times the engine died or refused.", "reason")
        self._restarts = counter("engine_restarts_total", "Times the engine was started again.")
        self._breaker = gauge("breaker_open", "1 while too many records fail for more to be taken, else 0.", "at")
        self._suspects = gauge("suspects", "Items the engine may have died of, kept apart from the others.")
        gauge("build_info", "The version that runs, as a label; the value is 1.", "version").labels(
            version("review-consumer")
        ).set(1)
        self._on: dict[What, Callable[[Event], object]] = {
            What.RECEIVED: lambda e: self._records.labels(e.topic).inc(e.count),
            What.FIELD_DROPPED: lambda e: self._dropped.labels(e.reason).inc(),
            What.RESULT: lambda e: self._results.labels(e.kind, e.reason).inc(e.count),
            What.DEAD_LETTER: lambda e: self._dead_letters.labels(e.reason).inc(),
            What.BATCH_STARTED: self._batch_started,
            What.BATCH_ENDED: lambda e: self._batch.observe(e.seconds),
            What.QUEUED: lambda e: self._queue.labels(e.kind).observe(e.seconds),
            What.ANSWERED: lambda e: self._engine.labels(e.kind).observe(e.seconds),
            What.COMMITTED: lambda e: self._commit.observe(e.seconds),
            What.COMMIT_FAILED: lambda e: self._commit_failures.labels(e.reason).inc(),
            What.RETRY: lambda e: self._retries.labels(e.kind).inc(),
            What.JOB_FAILED: lambda e: self._jobs_failed.labels(e.kind).inc(),
            What.PARKED: lambda e: self._parked.labels(e.topic, str(e.partition)).set(e.count),
            What.UNGROUNDED: lambda e: self._ungrounded.labels(e.kind).inc(e.count),
            What.RESTORING: lambda e: self._restoring.labels(e.topic, str(e.partition)).set(e.count),
            What.RESTORED: lambda e: self._restoring.labels(e.topic, str(e.partition)).set(0),
            What.REFUSED: lambda e: self._refused.labels(e.topic).inc(),
            What.OPENED: lambda e: self._lanes.labels(e.topic).inc(),
            What.CLOSED: self._closed,
            What.PAUSED: lambda e: self._paused.set(e.count),
            What.LOAD: self._loaded,
            What.BATCHES: lambda e: self._running.set(e.count),
            What.CEILING: lambda e: self._ceiling.set(e.count),
            What.ENGINE_LOAD: self._engine_loaded,
            What.PREEMPTED: lambda e: self._preempted.inc(e.count),
            What.LOOKED_UP: lambda e: self._lookups.labels(e.kind, e.reason).inc(e.count),
            What.CACHE_DOWN: lambda _: self._cache_up.set(0),
            What.CACHE_UP: lambda _: self._cache_up.set(1),
            What.ENGINE_DOWN: self._engine_down,
            What.ENGINE_RESTART: lambda _: self._restarts.inc(),
            What.ENGINE_UP: lambda _: self._up.set(1),
            What.BREAKER: lambda e: self._breaker.labels(e.reason).set(e.count),
            What.SUSPECTS: lambda e: self._suspects.set(e.count),
            What.WAITING: lambda e: self._waiting.set(e.count),
        }

    def __call__(self, event: Event) -> None:
        """Count one event."""
        if record := self._on.get(event.what):
            record(event)

    def _closed(self, event: Event) -> None:
        self._lanes.labels(event.topic).dec()
        self._parked.labels(event.topic, str(event.partition)).set(0)  # its next owner tells

    def _batch_started(self, event: Event) -> None:
        self._batches.labels(event.reason).inc()
        self._items.observe(event.count)
        self._fill.observe(event.ratio)

    def _engine_down(self, event: Event) -> None:
        self._up.set(0)
        self._outages.labels(event.reason).inc()

    def _engine_loaded(self, event: Event) -> None:
        self._engine_queue.set(event.count)
        self._engine_cache.set(event.ratio)

    def _loaded(self, event: Event) -> None:
        self._tokens.set(event.count)
        self._load.set(event.ratio)
