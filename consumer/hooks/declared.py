"""Every metric of the service, declared once: name, unit, meaning, labels.

Named by Prometheus's rules (https://prometheus.io/docs/practices/naming/): base units, the unit at the end, `_total`
behind it for counters. Label sets are bounded: topics and partitions of this member, and words that the code knows.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

PREFIX = "review_consumer_"
_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_LATENCY = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 43_200, 259_200)
_RATIO = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
_ITEMS = (1, 2, 5, 10, 20, 50, 100, 200)
_TOKENS = (100, 250, 500, 1000, 2000, 3000, 4000, 6000, 8000)


class Type(StrEnum):
    """Prometheus's word for how a value behaves."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Declared:
    """One metric."""

    name: str
    """Without `review_consumer_`."""
    type: Type
    unit: str
    """In the plural, as in the name; empty for a plain number of the things that the name says."""
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def full_name(self) -> str:
        """As on the page."""
        return PREFIX + self.name

    def counter(self, registry: CollectorRegistry) -> Counter:
        """To be counted by a listener."""
        return Counter(self.full_name, self.help, self.labels, unit=self.unit, registry=registry)

    def gauge(self, registry: CollectorRegistry) -> Gauge:
        """To be set by a listener."""
        return Gauge(self.full_name, self.help, self.labels, unit=self.unit, registry=registry)

    def histogram(self, registry: CollectorRegistry) -> Histogram:
        """To be observed by a listener."""
        return Histogram(
            self.full_name, self.help, self.labels, unit=self.unit, buckets=self.buckets, registry=registry
        )

    def family(self, values: Iterable[tuple[tuple[str, ...], float]] = ()) -> CounterMetricFamily | GaugeMetricFamily:
        """A counter or gauge that is read when the page is: label values, and the value."""
        make = CounterMetricFamily if self.type is Type.COUNTER else GaugeMetricFamily
        family = make(self.full_name, self.help, labels=self.labels, unit=self.unit)
        for labels, value in values:
            family.add_metric(labels, value)
        return family


ALL: list[Declared] = []
"""In the order of the page about them."""


def _counter(name: str, unit: str, text: str, *labels: str) -> Declared:
    return _listed(Declared(f"{name}_total", Type.COUNTER, unit, text, labels))


def _gauge(name: str, unit: str, text: str, *labels: str) -> Declared:
    return _listed(Declared(name, Type.GAUGE, unit, text, labels))


def _histogram(name: str, unit: str, text: str, buckets: tuple[float, ...], *labels: str) -> Declared:
    return _listed(Declared(name, Type.HISTOGRAM, unit, text, labels, buckets))


def _listed(one: Declared) -> Declared:
    ALL.append(one)
    return one


# --- records, from Kafka to the committed result

RECEIVED = _counter(
    "received_records",
    "records",
    "Records that polls brought; what is fetched again after a pause counts again.",
    "topic",
)
RECORDS = _counter(
    "records",
    "records",
    "Input records whose outcome is committed: analyzed, duplicate, superseded, deleted, expired, dead_letter; of "
    "requests analyzed or an error's code; of by-group summaries taken.",
    "topic",
    "outcome",
)
RESULTS = _counter(
    "results",
    "",
    "Results committed, by kind: sentiment, summary, strength; sentiment_request, summary_request, strength_request.",
    "kind",
    "outcome",
)
DEAD_LETTERS = _counter("dead_letters", "", "Records that became dead letters.", "topic", "reason")
DROPPED_FIELDS = _counter("dropped_fields", "", "Bad optional fields that were dropped.", "field")
LAG_RECORDS = _gauge(
    "lag_records",
    "records",
    "Offsets between what is committed and the end of the partition; 0 where only transaction markers are left.",
    "topic",
    "partition",
)
LAG_SECONDS = _gauge(
    "lag_seconds",
    "seconds",
    "Age by its Kafka timestamp of the oldest record that is not committed; where that was not fetched yet, "
    "how long it is known to be there.",
    "topic",
    "partition",
)
OLDEST_WAITING_REVIEW = _gauge(
    "oldest_waiting_review_seconds",
    "seconds",
    "Since when the oldest review, or request, waits here for its answer; 0: none does.",
)
END_TO_END = _histogram(
    "end_to_end_seconds", "seconds", "From a record's Kafka timestamp to its committed result.", _LATENCY, "topic"
)
QUEUE = _histogram("queue_seconds", "seconds", "Wait of an item for its micro-batch.", _SECONDS, "kind")
ENGINE = _histogram("engine_seconds", "seconds", "Time of an item in the engine.", _SECONDS, "kind")
PUBLISH = _histogram(
    "publish_seconds",
    "seconds",
    "From a record's answer to its commit: records before it, and the commit.",
    _SECONDS,
    "topic",
)

# --- micro-batches, and what is in flight

BATCHES = _counter(
    "batches", "", "Micro-batches sent: full_tokens, full_items, linger, linger_max, flush, apart.", "reason"
)
BATCH_SECONDS = _histogram("batch_seconds", "seconds", "Time of a micro-batch in the engine.", _SECONDS)
BATCH_ITEMS = _histogram("batch_items", "items", "Items of a micro-batch.", _ITEMS)
BATCH_TOKENS = _histogram("batch_tokens", "tokens", "Tokens of a micro-batch, each prefix once.", _TOKENS)
BATCH_FILL = _histogram("batch_fill_ratio", "ratio", "Tokens of a micro-batch against its budget.", _RATIO)
BATCH_LIMIT_ITEMS = _gauge("batch_limit_items", "items", "Items that a micro-batch may have.")
BATCH_LIMIT_TOKENS = _gauge("batch_limit_tokens", "tokens", "Tokens that a micro-batch may have: its budget.")
WAITING_ITEMS = _gauge("waiting_items", "items", "Items that wait for a micro-batch.")
IN_FLIGHT_BATCHES = _gauge("in_flight_batches", "batches", "Micro-batches that hold a permit.")
IN_FLIGHT_CEILING_BATCHES = _gauge("in_flight_ceiling_batches", "batches", "Permits.")
IN_FLIGHT_TOKENS = _gauge("in_flight_tokens", "tokens", "Tokens in the engine.")
IN_FLIGHT_CEILING_TOKENS = _gauge(
    "in_flight_ceiling_tokens", "tokens", "Tokens that may be in the engine: see ADMISSION."
)

# --- the engine

ENGINE_TIME = _counter(
    "engine_time_seconds",
    "seconds",
    "Time of this process by what the engine does: busy, idle (no request runs, and nothing waits), held (no request "
    "runs though items wait), down.",
    "state",
)
ENGINE_INFO = _gauge("engine_info", "", "The engine, as labels; the value is 1.", "engine", "model")
ENGINE_UP = _gauge("engine_up", "", "1 while the engine takes work, else 0.")
ENGINE_OUTAGES = _counter(
    "engine_outages", "", "Times the engine died, did not start, or was unavailable (refused).", "reason"
)
ENGINE_RESTARTS = _counter("engine_restarts", "", "Times the engine was started again.")
ENGINE_RUNNING = _gauge("engine_running_requests", "requests", "Requests in the engine's steps, where it tells.")
ENGINE_WAITING = _gauge("engine_waiting_requests", "requests", "Requests in the engine's own queue, where it tells.")
ENGINE_KV_CACHE = _gauge("engine_kv_cache_usage_ratio", "ratio", "Use of the engine's KV cache, where it tells.")
ENGINE_PREEMPTIONS = _counter(
    "engine_preemptions", "", "Requests that the engine preempted for want of memory, where it tells."
)
SUSPECTS = _gauge("suspect_items", "items", "Items the engine may have died of, kept apart from the others.")
PROMPT_TOKENS = _counter("prompt_tokens", "tokens", "Tokens of the prompts that were answered.", "kind")
PROMPT_CACHED_TOKENS = _counter(
    "prompt_cached_tokens", "tokens", "Of these, those that the engine had in its prefix cache, where it tells.", "kind"
)
GENERATION_TOKENS = _counter("generation_tokens", "tokens", "Tokens of the answers.", "kind")
GPU_UTILIZATION = _gauge(
    "gpu_utilization_ratio", "ratio", "Share of the last sample period in which the GPU ran a kernel (NVML).", "gpu"
)
GPU_MEMORY_USED = _gauge("gpu_memory_used_bytes", "bytes", "Memory of the GPU in use, by any process (NVML).", "gpu")
GPU_MEMORY_SIZE = _gauge("gpu_memory_size_bytes", "bytes", "Memory of the GPU (NVML).", "gpu")

# --- answers

RETRIES = _counter("retries", "", "Items tried again: engine_error, engine_timeout, invalid_answer.", "kind", "reason")
INVALID_ANSWERS = _counter("invalid_answers", "", "Answers that were off their form.", "kind")
UNGROUNDED = _counter(
    "ungrounded_claims", "", "Claims dropped: no review that they cite bears a quote for them.", "kind"
)
COMPARED_LABELS = _counter(
    "compared_labels",
    "",
    "Labels of reviews that say what their author thought, in is_recommended or rating. Result: agree, disagree, "
    "neutral (the label, or the rating, takes no side).",
    "field",
    "result",
)
JOB_FAILURES = _counter("job_failures", "", "Summary and strength jobs that failed.", "kind")
PARKED_JOBS = _gauge(
    "parked_jobs", "jobs", "Jobs that failed too often and wait for the next review.", "topic", "partition"
)
CACHE_LOOKUPS = _counter(
    "cache_lookups", "", "Items in the result cache: kept, in_flight (an equal one), asked.", "kind", "result"
)
SHARED_CACHE_UP = _gauge("shared_cache_up", "", "1 while the shared cache answers, or none is set; else 0.")

# --- partitions, commits, state

OPEN_PARTITIONS = _gauge("open_partitions", "partitions", "Partitions this member works on.", "topic")
PAUSED_PARTITIONS = _gauge(
    "paused_partitions",
    "partitions",
    "Partitions that are not fetched: opening, refused, full (its own records), busy (its topic's tokens wait for the "
    "engine), stopped (too many records fail).",
    "topic",
    "reason",
)
REBALANCES = _counter("rebalances", "", "Assignments that the group gave this member.")
LOST_PARTITIONS = _counter(
    "lost_partitions", "partitions", "Partitions that others took before this member gave them up.", "topic"
)
REFUSED_PARTITIONS = _counter(
    "refused_partitions", "partitions", "Partitions that wait for a person's decision.", "topic"
)
COMMIT_SECONDS = _histogram(
    "commit_seconds",
    "seconds",
    "Time of a commit: a transaction in exactly_once; outputs, state and offset in turn in at_least_once. Outcome: "
    "committed, not_committed, unknown, refused, fenced.",
    _SECONDS,
    "outcome",
)
BREAKER_OPEN = _gauge("breaker_open", "", "1 while too many records fail for more to be taken, else 0.", "at")
STATE_BYTES = _gauge("state_bytes", "bytes", "Size of a partition's local state.", "topic", "partition")
RESTORE_REMAINING = _gauge(
    "restore_remaining_offsets",
    "offsets",
    "Offsets of the changelog that a partition has yet to read.",
    "topic",
    "partition",
)
RESTORED_RECORDS = _counter("restored_records", "records", "Records read from changelogs.", "topic")
RESTORE_SECONDS = _histogram("restore_seconds", "seconds", "Time of restoring a partition's state.", _LATENCY, "topic")

# --- the process

READY = _gauge("ready", "", "1 while /readyz says so, else 0.")
POLL_AGE = _gauge("poll_age_seconds", "seconds", "Since the poll loop turned last.")
EVENT_LOOP_LAG = _gauge("event_loop_lag_seconds", "seconds", "By how much the event loop was late, at its last tick.")
BUILD_INFO = _gauge("build_info", "", "The version that runs, as a label; the value is 1.", "version")
