"""Builds the service out of its parts, from the settings."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from consumer.engines.contract import Engine
from consumer.engines.local.engine import LocalEngine
from consumer.errors import ConfigError
from consumer.hooks.events import Hooks
from consumer.hooks.health import Health
from consumer.hooks.logs import log_listener
from consumer.hooks.metrics import Metrics
from consumer.kafka.publisher import AtLeastOncePublisher, Publisher
from consumer.kafka.source import REBALANCE_MARGIN_SECONDS, Membership, Source
from consumer.pipeline.dispatch import Dispatcher, DispatchRules
from consumer.pipeline.groups import Groups, StrengthRules
from consumer.pipeline.reviews import Reviews
from consumer.pipeline.service import Bounds, Service
from consumer.pipeline.summaries import Summaries, SummaryRules
from consumer.pipeline.worker import Worker
from consumer.pipeline.workload import LaneLimits, Made, Shared, Workload
from consumer.settings import Settings
from consumer.store import MemoryStore
from consumer.stream.admission import Admission
from consumer.stream.backpressure import WaterMarks
from consumer.stream.batcher import Batcher, BatchLimits
from consumer.stream.keys import KeyCheck
from consumer.stream.record import Partition
from consumer.stream.retry import RetryPolicy

WAITING_BATCHES = 4
"""Full engine loads of tokens that may wait for a batch before partitions pause: enough to choose by priority."""
MAX_JOBS_PER_LANE = 32
JOB_RETRY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Assembly:
    """The service, and the parts that others look at."""

    service: Service
    engine: Engine
    health: Health


def choose_engine(settings: Settings) -> Engine:  # noqa: ARG001 - one choice so far, others come with their settings
    """The engine that the settings ask for."""
    return LocalEngine()


def assemble(settings: Settings, engine: Engine, registry: CollectorRegistry, reviews_partitions: int) -> Assembly:
    """Join the parts. `reviews_partitions`: partition count of the reviews topic, for the check of keys."""
    hooks = Hooks([Metrics(registry), log_listener()])
    health = Health(
        time.monotonic, stall_seconds=2 * (settings.delivery.revoke_drain_seconds + REBALANCE_MARGIN_SECONDS)
    )
    dispatcher = _dispatcher(settings, engine, hooks)
    bounds = Bounds(settings.delivery.revoke_drain_seconds, settings.delivery.shutdown_timeout_seconds)
    service = Service(engine, dispatcher, _marks(settings), health, hooks, bounds)
    source = Source(settings.kafka, _membership(settings), [settings.topics.reviews, settings.topics.by_group], service)
    publisher = AtLeastOncePublisher(settings.kafka, source)
    shared = _shared(settings, engine, dispatcher, hooks)
    lanes = _Lanes(settings, shared, source, publisher, reviews_partitions)
    service.join(source, publisher, lanes.workers)
    return Assembly(service, engine, health)


class _Lanes:
    """Makes the workers of an assignment: what their records mean is decided by their topic."""

    def __init__(
        self, settings: Settings, shared: Shared, source: Source, publisher: Publisher, reviews_partitions: int
    ) -> None:
        self._settings, self._shared, self._source, self._publisher = settings, shared, source, publisher
        self._keys = KeyCheck(settings.topics.reviews, settings.delivery.key_partitioner, reviews_partitions)
        self._reviews_partitions = reviews_partitions
        self._kept: dict[Partition, tuple[Worker, MemoryStore]] = {}
        """The last worker and state of each partition: most come back in the next assignment, where we left them."""

    def workers(self, partitions: Sequence[Partition]) -> list[Worker]:
        """A worker for each partition of a new assignment; the state of those that are gone is dropped."""
        self._kept = {partition: kept for partition, kept in self._kept.items() if partition in partitions}
        return [self._worker(partition) for partition in partitions]

    def _worker(self, partition: Partition) -> Worker:
        by_group = partition.topic == self._settings.topics.by_group
        make = self._groups if by_group else self._reviews
        return Worker(partition, self._source, self._publisher, self._shared, make_workload=make, keeps_table=by_group)

    def _reviews(self, worker: Worker, offset: int) -> Workload:
        if worker.partition.partition >= self._reviews_partitions:
            raise ConfigError(
                f"{worker.partition.topic} has more than the {self._reviews_partitions} partitions of the start: "
                "its restaurants are on other partitions now; set the other topics' counts, then start again"
            )
        jobs, store = self._settings.jobs, self._store(worker.partition, offset)
        self._kept[worker.partition] = worker, store
        rules = SummaryRules(
            min_reviews=jobs.summary_min_reviews,
            max_age=jobs.summary_max_age_seconds,
            language=None if jobs.output_language == "auto" else jobs.output_language,
            retry_after=JOB_RETRY_SECONDS,
        )
        return Reviews(worker, self._shared, store, Summaries(worker, self._shared, store, rules), self._keys)

    def _store(self, partition: Partition, offset: int) -> MemoryStore:
        """The state as our last worker of the partition left it, if nobody has committed since; else an empty one."""
        worker, store = self._kept.get(partition, (None, None))
        if worker and store and worker.lane is not None and worker.lane.committed == offset:
            return store
        return MemoryStore()

    def _groups(self, worker: Worker, _offset: int) -> Workload:
        jobs = self._settings.jobs
        rules = StrengthRules(jobs.strength_refresh_members, jobs.summary_max_age_seconds, JOB_RETRY_SECONDS)
        return Groups(worker, self._shared, rules)


def _shared(settings: Settings, engine: Engine, dispatcher: Dispatcher, hooks: Hooks) -> Shared:
    return Shared(
        names=settings.topics,
        made=Made(engine.name, engine.model),
        limits=LaneLimits(settings.lanes.lane_max_records, settings.lanes.lane_max_bytes, MAX_JOBS_PER_LANE),
        submit=dispatcher.submit,
        hooks=hooks,
        clock=time.monotonic,
        wall=time.time,
    )


def _dispatcher(settings: Settings, engine: Engine, hooks: Hooks) -> Dispatcher:
    batches, lanes, retries = settings.batches, settings.lanes, settings.retries
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
        Admission(batches.max_concurrent_batches, batches.max_tokens_per_batch),
        DispatchRules(
            budget=batches.max_tokens_per_batch,
            timeout=settings.engine.engine_request_timeout_seconds,
            retry=RetryPolicy(retries.max_attempts, retries.base_seconds, cap=retries.max_seconds),
        ),
        hooks,
        clock=time.monotonic,
        random=random.random,
    )


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
        max_poll_records=settings.lanes.poll_max_records,
    )
