"""Builds the service out of its parts, from the settings."""

import json
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from consumer.analysis import calibration_file
from consumer.analysis.task import Language
from consumer.cache.engine import CachingEngine
from consumer.cache.keys import Identity
from consumer.cache.memory import MemoryCache
from consumer.cache.shared import SharedCache
from consumer.engines.contract import Engine
from consumer.engines.local.engine import LocalEngine
from consumer.errors import ConfigError
from consumer.hooks.events import Event, Hooks, What
from consumer.hooks.gpu import Gpus
from consumer.hooks.health import Health
from consumer.hooks.logs import log_listener
from consumer.hooks.metrics import Metrics
from consumer.hooks.pulled import EngineTime, HealthPage, Lanes, VllmMetrics
from consumer.kafka.at_least_once import AtLeastOncePublishers
from consumer.kafka.changelog import Changelog
from consumer.kafka.exactly_once import ExactlyOncePublishers
from consumer.kafka.publisher import Destination, Publishers, PublishersByTopic
from consumer.kafka.source import REBALANCE_MARGIN_SECONDS, Membership, Source
from consumer.pipeline.dispatch import Dispatcher, DispatchRules
from consumer.pipeline.groups import Groups, StrengthRules
from consumer.pipeline.publish_gate import PublishGate
from consumer.pipeline.quarantine import Quarantine
from consumer.pipeline.regulator import Regulator
from consumer.pipeline.requests.lane import Requests
from consumer.pipeline.requests.questions import RequestRules
from consumer.pipeline.reviews import Reviews
from consumer.pipeline.service import Bounds, Service
from consumer.pipeline.summaries import Summaries, SummaryRules
from consumer.pipeline.supervisor import RestartRules, Supervisor
from consumer.pipeline.watching import EngineLoad, Watch
from consumer.pipeline.worker import Assigned, Ground, Keeps, Worker
from consumer.pipeline.workload import LaneLimits, Made, Shared, Workload, trace_that_came
from consumer.settings import Settings
from consumer.state_dir import StateDirectory
from consumer.store.disk import SqliteStore, store_file
from consumer.store.memory import MemoryStore
from consumer.stream.admission import Admission
from consumer.stream.backpressure import WaterMarks
from consumer.stream.batcher import Batcher, BatchLimits
from consumer.stream.breaker import BreakerRules
from consumer.stream.ceiling import Ceiling, CeilingRules
from consumer.stream.keys import KeyCheck
from consumer.stream.members import Debounce
from consumer.stream.place import Origin
from consumer.stream.record import Partition
from consumer.stream.retry import RetryPolicy
from consumer.stream.state import Store
from schemas.topics import state_topic

if TYPE_CHECKING:
    from consumer.hooks.traces import Spans  # an extra

log = logging.getLogger(__name__)

WAITING_BATCHES = 4
"""Full engine loads of tokens that may wait for a batch before partitions pause: enough to choose by priority."""
MAX_JOBS_PER_LANE = 32
REPLY_INTERVAL_SECONDS = 0.02
"""Between two commits of a requests lane: the first reply goes at once, those right behind it together."""
BREAKER_LEAST = 5
"""This part of the breaker's window is enough to decide by, at the start and after an opening."""
PROMPT_SHARE = 4
"""A summary prompt's reviews get this part of a batch's tokens: instructions, the last summary and the answer need more
than half of the default."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """The service, and the parts that others look at."""

    service: Service
    engine: Engine
    health: Health
    lanes: Lanes
    close: Callable[[], None]
    """To be called at the end, in a thread: sends the last traces."""


def choose_engine(settings: Settings) -> Engine:
    """The engine that the settings ask for. What an engine needs is imported only for it; raises ConfigError."""
    match settings.engine.chosen:
        case "vllm":
            return _vllm(settings)
        case "openai":
            return _openai(settings)
        case _:
            return LocalEngine()


def _vllm(settings: Settings) -> Engine:
    try:
        from consumer.engines.vllm.engine import VllmEngine, VllmRules  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(f"the engine vllm needs vLLM ({error}): pip install 'review-consumer[vllm]'") from error
    chosen = settings.engine
    rules = VllmRules(
        model=chosen.vllm_model or "",
        args=chosen.vllm_engine_args,
        budget=settings.batches.max_tokens_per_batch,
        stall_seconds=chosen.engine_stall_seconds,
    )
    return VllmEngine(rules)


def _openai(settings: Settings) -> Engine:
    try:
        from consumer.engines.openai.engine import OpenAIEngine, OpenAIRules  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(
            f"the engine openai needs its client ({error}): pip install 'review-consumer[openai]'"
        ) from error
    chosen = settings.engine
    rules = OpenAIRules(
        base_url=chosen.openai_base_url or "",
        api_key=chosen.openai_api_key.get_secret_value() if chosen.openai_api_key else None,
        model=chosen.openai_model or "",
        tokenizer=chosen.tokenizer,
        budget=settings.batches.max_tokens_per_batch,
        timeout=chosen.engine_request_timeout_seconds,
        connections=chosen.openai_max_connections,
    )
    return OpenAIEngine(rules)


def assemble(
    settings: Settings,
    engine: Engine,
    registry: CollectorRegistry,
    partitions: Mapping[str, int],
    origin: Origin | None = None,
) -> Assembly:
    """Join the parts. `partitions`: partition counts of the input topics; `origin`: see `run --from`."""
    health = Health(
        time.monotonic, stall_seconds=2 * (settings.delivery.revoke_drain_seconds + REBALANCE_MARGIN_SECONDS)
    )
    spans = _spans(settings)
    hooks, lanes = _hooks(settings, registry, health, spans)
    engine = _cached(settings, engine, hooks)
    directory = StateDirectory(settings.service.state_dir, settings.delivery.kafka_group_id)
    quarantine = Quarantine(directory, hooks)
    dispatcher = make_dispatcher(settings, engine, quarantine, hooks)
    rules = RestartRules(settings.engine.engine_max_restarts, _retry_policy(settings))
    supervisor = Supervisor(engine, dispatcher, quarantine, rules, hooks, random=random.random)
    bounds = Bounds(settings.delivery.revoke_drain_seconds, settings.delivery.shutdown_timeout_seconds)
    gate = PublishGate(_breaker_rules(settings), hooks, clock=time.monotonic, random=random.random)
    service = Service(supervisor, dispatcher, _marks(settings), health, hooks, bounds, directory=directory, gate=gate)
    names = settings.topics
    source = Source(settings.kafka, _membership(settings), [names.reviews, names.by_group, names.requests], service)
    exactly_once = settings.delivery.delivery == "exactly_once"
    changelog = Changelog(settings.kafka, settings.delivery.kafka_group_id)
    publishers = _publishers(settings, source, changelog)
    ground = Ground(
        source,
        publishers,
        changelog,
        _shared(settings, engine, dispatcher, hooks, spans),
        service.fenced,
        gate,
        settings.delivery.commit_interval_seconds if exactly_once else 0.0,
        origin,
    )
    load = EngineLoad(engine.load, hooks)
    watch = Watch(service, dispatcher, load, health, hooks, clock=time.monotonic, wall=time.time)
    service.join(source, publishers, _Lanes(settings, ground, partitions, directory).workers, watch)
    batches = settings.batches
    limits = (batches.max_batch_size, batches.max_tokens_per_batch)
    hooks(Event(What.CONFIGURED, kind=engine.name, detail=engine.model, values=limits))
    return Assembly(service, engine, health, lanes, spans.close if spans else lambda: None)


def _spans(settings: Settings) -> "Spans | None":
    """The listener that traces, where it is wanted: platforms set the endpoint for programs that know nothing of it."""
    if (endpoint := settings.service.otel_exporter_otlp_endpoint) is None:
        return None
    try:
        from consumer.hooks import traces  # noqa: PLC0415 - an extra
    except ImportError as error:
        missing = "nothing is traced: OTEL_EXPORTER_OTLP_ENDPOINT needs pip install 'review-consumer[otel]'"
        log.warning(missing, extra={"error": str(error)})
        return None
    return traces.exporting(endpoint, settings.delivery.kafka_group_id)


def _hooks(
    settings: Settings, registry: CollectorRegistry, health: Health, spans: "Spans | None"
) -> tuple[Hooks, Lanes]:
    """Who is told of what happens; the metrics are in the registry."""
    lanes, engine_time = Lanes(), EngineTime(time.monotonic)
    for collector in (lanes, engine_time, HealthPage(health), Gpus()):
        registry.register(collector)
    if settings.engine.chosen == "vllm":
        registry.register(VllmMetrics())
    traced = [spans] if spans else []
    return Hooks([Metrics(registry), lanes, engine_time, log_listener(time.monotonic), *traced]), lanes


class _Lanes:
    """Makes the workers of an assignment: what their records mean is decided by their topic."""

    def __init__(
        self, settings: Settings, ground: Ground, partitions: Mapping[str, int], directory: StateDirectory
    ) -> None:
        self._settings, self._ground, self._partitions = settings, ground, partitions
        self._directory = directory
        reviews = settings.topics.reviews
        self._keys = KeyCheck(reviews, settings.delivery.key_partitioner, partitions[reviews])

    def workers(self, partitions: Sequence[Partition], generation: int) -> list[Worker]:
        """A worker for each partition of a new assignment."""
        return [self._worker(partition, generation) for partition in partitions]

    def _worker(self, partition: Partition, generation: int) -> Worker:
        count = self._partitions[partition.topic]
        if partition.partition >= count:
            raise ConfigError(
                f"{partition.topic} has more than the {count} partitions of the start: its restaurants are on other "
                "partitions now; set the other topics' counts, then start again"
            )
        names = self._settings.topics
        if partition.topic == names.requests:
            assigned = Assigned(partition, generation, count, Keeps.NOTHING)
            ground = replace(self._ground, commit_interval=REPLY_INTERVAL_SECONDS)
            return Worker(assigned, ground, MemoryStore, self._requests)
        by_group = partition.topic == names.by_group
        make = self._groups if by_group else self._reviews
        assigned = Assigned(partition, generation, count, Keeps.TABLE if by_group else Keeps.STATE)
        return Worker(assigned, self._ground, lambda: self._store(partition), make)

    def _store(self, partition: Partition) -> Store:
        return SqliteStore(store_file(self._directory.path, partition), time.time)

    def _reviews(self, worker: Worker, store: Store) -> Workload:
        jobs, shared = self._settings.jobs, self._ground.shared
        rules = SummaryRules(
            min_reviews=jobs.summary_min_reviews,
            min_tokens=jobs.summary_min_tokens,
            max_age=jobs.summary_max_age_seconds,
            language=_language(self._settings),
            prompt_tokens=self._settings.batches.max_tokens_per_batch // PROMPT_SHARE,
            retry=_job_policy(self._settings),
        )
        return Reviews(worker, shared, store, Summaries(worker, shared, store, rules), self._keys)

    def _requests(self, worker: Worker, _: Store) -> Workload:
        rules = RequestRules(
            language=_language(self._settings),
            prompt_tokens=self._settings.batches.max_tokens_per_batch // PROMPT_SHARE,
            prompt_share=PROMPT_SHARE,
        )
        return Requests(worker, self._ground.shared, rules)

    def _groups(self, worker: Worker, store: Store) -> Workload:
        jobs = self._settings.jobs
        debounce = Debounce(jobs.strength_refresh_members, jobs.summary_max_age_seconds)
        rules = StrengthRules(debounce, _job_policy(self._settings))
        return Groups(worker, self._ground.shared, store, rules)


def _language(settings: Settings) -> Language | None:
    """None: the reviews' majority."""
    chosen = settings.jobs.output_language
    return None if chosen == "auto" else chosen


def _publishers(settings: Settings, source: Source, changelog: Changelog) -> Publishers:
    """The requests' lanes are at least once, whatever the others are: a reader drops a reply that comes again."""
    names, group = settings.topics, settings.delivery.kafka_group_id
    results = names.sentiment, names.totals, names.summary, names.strength, names.by_group, names.dlq
    states = state_topic(group, names.reviews), state_topic(group, names.by_group)
    to = Destination(settings.kafka, group, results + states)
    replies = names.replies, names.dlq
    stateless = frozenset({names.requests})
    if settings.delivery.delivery == "at_least_once":
        return AtLeastOncePublishers(replace(to, topics=(*to.topics, names.replies)), source, stateless)
    requests = AtLeastOncePublishers(replace(to, topics=replies), source, stateless)
    return PublishersByTopic(ExactlyOncePublishers(to, source, changelog), {names.requests: requests})


def _shared(settings: Settings, engine: Engine, dispatcher: Dispatcher, hooks: Hooks, spans: "Spans | None") -> Shared:
    return Shared(
        names=settings.topics,
        made=Made(engine.name, engine.model),
        delivery=settings.delivery.delivery,
        limits=LaneLimits(settings.lanes.lane_max_records, settings.lanes.lane_max_bytes, MAX_JOBS_PER_LANE),
        submit=dispatcher.submit,
        hooks=hooks,
        clock=time.monotonic,
        wall=time.time,
        random=random.random,
        deleted_retention=settings.service.state_deleted_retention_seconds,
        calibration=calibration_file.load(settings.engine.calibration_file, engine.name, engine.model),
        trace=spans.traceparent if spans else trace_that_came,
    )


def _cached(settings: Settings, engine: Engine, hooks: Hooks) -> Engine:
    """The engine behind the result cache, if one is wanted. Raises ConfigError for a REDIS_URL that cannot be used.

    The embedded engine answers faster than a cache looks up.
    """
    service, chosen = settings.service, settings.engine
    if not service.cache_max_bytes or engine.name == LocalEngine.name:
        return engine
    url = service.redis_url.get_secret_value() if service.redis_url else None
    shared = SharedCache(url, hooks, clock=time.monotonic, random=random.random) if url else None
    detail = json.dumps([chosen.vllm_engine_args, chosen.openai_base_url, chosen.tokenizer], sort_keys=True)
    identity = Identity(engine.name, engine.model, detail)
    return CachingEngine(engine, identity, MemoryCache(service.cache_max_bytes), shared, hooks)


def make_dispatcher(settings: Settings, engine: Engine, quarantine: Quarantine, hooks: Hooks) -> Dispatcher:
    """The dispatcher that the settings ask for, around an engine."""
    batches, lanes = settings.batches, settings.lanes
    limits = BatchLimits(
        max_tokens=batches.max_tokens_per_batch,
        min_items=batches.min_batch_size,
        max_items=batches.max_batch_size,
        linger=lanes.linger_seconds,
        linger_max=lanes.linger_max_seconds,
        aging=lanes.priority_aging_seconds,
    )
    return Dispatcher(
        engine,
        Batcher(limits),
        _admission(settings, engine),
        DispatchRules(
            budget=batches.max_tokens_per_batch,
            timeout=settings.engine.engine_request_timeout_seconds,
            retry=_retry_policy(settings),
            breaker=_breaker_rules(settings),
        ),
        quarantine,
        hooks,
        clock=time.monotonic,
        random=random.random,
    )


def _admission(settings: Settings, engine: Engine) -> Admission:
    most, tokens = settings.batches.max_concurrent_batches, settings.batches.max_tokens_per_batch
    if settings.engine.admission == "fixed":
        return Admission(most, tokens)
    ceiling = Ceiling(most, tokens, CeilingRules())
    return Admission(most, tokens, Regulator(ceiling, most * tokens, engine.load, time.monotonic))


def _retry_policy(settings: Settings) -> RetryPolicy:
    retries = settings.retries
    return RetryPolicy(retries.max_attempts, retries.base_seconds, cap=retries.max_seconds)


def _breaker_rules(settings: Settings) -> BreakerRules:
    chosen = settings.breaker
    least = max(1, chosen.window_records // BREAKER_LEAST)
    pause = RetryPolicy(base=chosen.probe_seconds, cap=chosen.probe_max_seconds)
    return BreakerRules(chosen.share, chosen.window_records, least, pause)


def _job_policy(settings: Settings) -> RetryPolicy:
    jobs = settings.jobs
    return RetryPolicy(jobs.job_max_attempts, jobs.job_retry_seconds, cap=jobs.job_retry_max_seconds)


def _marks(settings: Settings) -> WaterMarks:
    batches, lanes = settings.batches, settings.lanes
    return WaterMarks.halving(
        max_records=lanes.lane_max_records,
        max_bytes=lanes.lane_max_bytes,
        max_tokens=WAITING_BATCHES * batches.max_concurrent_batches * batches.max_tokens_per_batch,
        poll_records=lanes.poll_max_records,
    )


def _membership(settings: Settings) -> Membership:
    delivery = settings.delivery
    return Membership(
        group_id=delivery.kafka_group_id,
        delivery=delivery.delivery,
        session_timeout=delivery.kafka_session_timeout_seconds,
        drain=delivery.revoke_drain_seconds,
        instance_id=delivery.kafka_group_instance_id,
    )
