"""The listener that turns events into the declared metrics."""

from collections.abc import Callable, Mapping
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from consumer.hooks import declared
from consumer.hooks.events import Event, What
from consumer.hooks.tally import Tally

Count = Callable[[Event], object]


class Metrics:
    """A listener that keeps Prometheus metrics in a registry of the caller's."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._on: dict[What, Count] = {
            **self._records(),
            **self._batches(),
            **self._engine(),
            **self._answers(),
            **self._partitions(),
        }
        self._gauge(declared.BUILD_INFO).labels(version("review-consumer")).set(1)

    def __call__(self, event: Event) -> None:
        """Count one event."""
        if count := self._on.get(event.what):
            count(event)

    def _counter(self, one: declared.Declared) -> Counter:
        return one.counter(self._registry)

    def _gauge(self, one: declared.Declared) -> Gauge:
        return one.gauge(self._registry)

    def _histogram(self, one: declared.Declared) -> Histogram:
        return one.histogram(self._registry)

    def _tally(self, one: declared.Declared) -> Tally:
        return Tally(one, self._registry)

    def _records(self) -> Mapping[What, Count]:
        received, records = self._counter(declared.RECEIVED), self._counter(declared.RECORDS)
        results, letters = self._counter(declared.RESULTS), self._counter(declared.DEAD_LETTERS)
        dropped = self._counter(declared.DROPPED_FIELDS)
        publish, latency = self._tally(declared.PUBLISH), self._tally(declared.END_TO_END)

        def result(event: Event) -> None:
            if event.topic:
                records.labels(event.topic, event.reason).inc(event.count)
            if event.kind:
                results.labels(event.kind, event.reason).inc(event.count)

        def dead_letter(event: Event) -> None:
            records.labels(event.topic, "dead_letter").inc()
            letters.labels(event.topic, event.reason).inc()

        return {
            What.RECEIVED: lambda e: received.labels(e.topic).inc(e.count),
            What.FIELD_DROPPED: lambda e: dropped.labels(e.reason).inc(),
            What.RESULT: result,
            What.DEAD_LETTER: dead_letter,
            What.PUBLISHED: lambda e: publish.observe(e.topic, e.values),
            What.LATENCY: lambda e: latency.observe(e.topic, e.values),
        }

    def _batches(self) -> Mapping[What, Count]:
        batches, seconds = self._counter(declared.BATCHES), self._histogram(declared.BATCH_SECONDS)
        items, tokens = self._histogram(declared.BATCH_ITEMS), self._histogram(declared.BATCH_TOKENS)
        fill, queue = self._histogram(declared.BATCH_FILL), self._tally(declared.QUEUE)
        waiting = self._gauge(declared.WAITING_ITEMS)
        running, permits = self._gauge(declared.IN_FLIGHT_BATCHES), self._gauge(declared.IN_FLIGHT_CEILING_BATCHES)
        in_flight, ceiling = self._gauge(declared.IN_FLIGHT_TOKENS), self._gauge(declared.IN_FLIGHT_CEILING_TOKENS)
        most_items, most_tokens = self._gauge(declared.BATCH_LIMIT_ITEMS), self._gauge(declared.BATCH_LIMIT_TOKENS)
        engine_info = self._gauge(declared.ENGINE_INFO)

        def started(event: Event) -> None:
            batches.labels(event.reason).inc()
            items.observe(event.count)
            tokens.observe(event.values[0])
            fill.observe(event.ratio)

        def load(event: Event) -> None:
            in_flight.set(event.count)
            for gauge, value in zip((ceiling, running, permits), event.values, strict=True):
                gauge.set(value)

        def configured(event: Event) -> None:
            engine_info.labels(event.kind, event.detail).set(1)
            for gauge, value in zip((most_items, most_tokens), event.values, strict=True):
                gauge.set(value)

        return {
            What.CONFIGURED: configured,
            What.BATCH_STARTED: started,
            What.BATCH_ENDED: lambda e: seconds.observe(e.seconds),
            What.QUEUED: lambda e: queue.observe(e.kind, e.values),
            What.WAITING: lambda e: waiting.set(e.count),
            What.LOAD: load,
        }

    def _engine(self) -> Mapping[What, Count]:
        up, outages = self._gauge(declared.ENGINE_UP), self._counter(declared.ENGINE_OUTAGES)
        restarts, preemptions = self._counter(declared.ENGINE_RESTARTS), self._counter(declared.ENGINE_PREEMPTIONS)
        waiting, running = self._gauge(declared.ENGINE_WAITING), self._gauge(declared.ENGINE_RUNNING)
        cache, suspects = self._gauge(declared.ENGINE_KV_CACHE), self._gauge(declared.SUSPECTS)

        def down(event: Event) -> None:
            up.set(0)
            outages.labels(event.reason).inc()

        def load(event: Event) -> None:
            waiting.set(event.count)
            running.set(event.values[0])
            cache.set(event.ratio)

        return {
            What.ENGINE_UP: lambda _: up.set(1),
            What.ENGINE_DOWN: down,
            What.ENGINE_RESTART: lambda _: restarts.inc(),
            What.ENGINE_LOAD: load,
            What.PREEMPTED: lambda e: preemptions.inc(e.count),
            What.SUSPECTS: lambda e: suspects.set(e.count),
        }

    def _answers(self) -> Mapping[What, Count]:
        engine, retries = self._tally(declared.ENGINE), self._counter(declared.RETRIES)
        tokens = [
            self._counter(one)
            for one in (declared.PROMPT_TOKENS, declared.PROMPT_CACHED_TOKENS, declared.GENERATION_TOKENS)
        ]
        invalid, ungrounded = self._counter(declared.INVALID_ANSWERS), self._counter(declared.UNGROUNDED)
        compared, failures = self._counter(declared.COMPARED_LABELS), self._counter(declared.JOB_FAILURES)
        lookups, shared = self._counter(declared.CACHE_LOOKUPS), self._gauge(declared.SHARED_CACHE_UP)
        shared.set(1)

        def count_tokens(event: Event) -> None:
            for counter, value in zip(tokens, event.values, strict=True):
                counter.labels(event.kind).inc(value)

        return {
            What.ANSWERED: lambda e: engine.observe(e.kind, e.values),
            What.TOKENS: count_tokens,
            What.RETRY: lambda e: retries.labels(e.kind, e.reason).inc(),
            What.INVALID_ANSWER: lambda e: invalid.labels(e.kind).inc(),
            What.UNGROUNDED: lambda e: ungrounded.labels(e.kind).inc(e.count),
            What.COMPARED: lambda e: compared.labels(e.kind, e.reason).inc(e.count),
            What.JOB_FAILED: lambda e: failures.labels(e.kind).inc(),
            What.LOOKED_UP: lambda e: lookups.labels(e.kind, e.reason).inc(e.count),
            What.CACHE_DOWN: lambda _: shared.set(0),
            What.CACHE_UP: lambda _: shared.set(1),
        }

    def _partitions(self) -> Mapping[What, Count]:
        rebalances, lost = self._counter(declared.REBALANCES), self._counter(declared.LOST_PARTITIONS)
        refused, commits = self._counter(declared.REFUSED_PARTITIONS), self._histogram(declared.COMMIT_SECONDS)
        opened, parked = self._gauge(declared.OPEN_PARTITIONS), self._gauge(declared.PARKED_JOBS)
        breaker, remaining = self._gauge(declared.BREAKER_OPEN), self._gauge(declared.RESTORE_REMAINING)
        restored, restores = self._counter(declared.RESTORED_RECORDS), self._histogram(declared.RESTORE_SECONDS)
        for at in ("engine", "publish"):
            breaker.labels(at).set(0)

        def restoring(event: Event) -> None:
            remaining.labels(event.topic, event.partition).set(event.count)

        def ended(event: Event) -> None:
            remaining.labels(event.topic, event.partition).set(0)
            restored.labels(event.topic).inc(event.count)
            restores.labels(event.topic).observe(event.seconds)

        def closed(event: Event) -> None:
            opened.labels(event.topic).dec()
            for gauge in (parked, remaining):  # its next owner tells
                gauge.remove(event.topic, event.partition)

        def committed(event: Event) -> None:
            commits.labels(event.reason).observe(event.seconds)

        return {
            What.ASSIGNED: lambda _: rebalances.inc(),
            What.LOST: lambda e: lost.labels(e.topic).inc(),
            What.REFUSED: lambda e: refused.labels(e.topic).inc(),
            What.OPENED: lambda e: opened.labels(e.topic).inc(),
            What.CLOSED: closed,
            What.COMMITTED: committed,
            What.COMMIT_FAILED: committed,
            What.PARKED: lambda e: parked.labels(e.topic, e.partition).set(e.count),
            What.RESTORING: restoring,
            What.RESTORED: ended,
            What.BREAKER: lambda e: breaker.labels(e.reason).set(e.count),
        }
