"""Traces: one span a record, from its lane to its committed result, with its stages and its micro-batches.

Written with the names of OpenTelemetry's semantic conventions for messaging. Needs the extra `[otel]`; without it, or
without OTEL_EXPORTER_OTLP_ENDPOINT, nothing of this is imported. Samplers, headers and the service's name are set by
OpenTelemetry's own variables.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from consumer.hooks.events import Carrier, Event, What
from schemas.headers import TRACEPARENT, traceparent_of

SERVICE = "review-consumer"
NANOSECONDS = 1_000_000_000
_PROPAGATOR = TraceContextTextMapPropagator()


@dataclass(slots=True, eq=False)
class _Traced:
    """One record on its way; times are nanoseconds since 1970."""

    span: Span
    answered: int
    """When the last stage before publishing ended."""
    batches: set[int] = field(default_factory=set)
    """Micro-batches with it that have not been told of whole."""
    published: int | None = None

    @property
    def context(self) -> Context:
        """What its stages are children of."""
        return trace.set_span_in_context(self.span, Context())


@dataclass(slots=True)
class _Batch:
    span: Span
    started: int
    records: list[_Traced]


class Spans:
    """A listener. A record's span is exported when it is committed, and its batches have told of it."""

    def __init__(self, provider: TracerProvider, group: str, now: Callable[[], int] = time.time_ns) -> None:
        self._provider, self._group, self._now = provider, group, now
        self._tracer = provider.get_tracer(SERVICE)
        self._open: dict[tuple[str, int], OrderedDict[int, _Traced]] = {}
        self._batches: dict[int, _Batch] = {}
        self._on: dict[What, Callable[[Event], None]] = {
            What.ACCEPTED: self._accepted,
            What.BATCH_STARTED: self._batch_started,
            What.QUEUED: self._queued,
            What.ANSWERED: self._answered,
            What.BATCH_ENDED: self._batch_ended,
            What.RETRY: self._retry,
            What.DEAD_LETTER: self._dead_letter,
            What.PUBLISHED: self._published,
            What.CLOSED: self._closed,
            What.LOST: self._closed,
        }

    def __call__(self, event: Event) -> None:
        """Begin or end what the event is about."""
        if listen := self._on.get(event.what):
            listen(event)

    def traceparent(self, record: Carrier) -> bytes | None:
        """What goes on with a record's results and questions: its span here. None: it is not known here."""
        if (traced := self._of(record)) is None:
            return None
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, traced.context)
        return carrier[TRACEPARENT].encode()

    def close(self) -> None:
        """Send what is left; takes seconds where nobody answers."""
        self._provider.shutdown()

    def _of(self, record: Carrier | None) -> _Traced | None:
        if record is None:
            return None
        lane = self._open.get((record.topic, record.partition))
        return lane.get(record.offset) if lane else None

    def _accepted(self, event: Event) -> None:
        lane = self._open.setdefault((event.topic, event.partition), OrderedDict())
        now = self._now()
        for record in event.records:
            if record is not None:
                lane[record.offset] = _Traced(self._started(record, now), now)

    def _started(self, record: Carrier, now: int) -> Span:
        given = traceparent_of(record.headers)
        parent = _PROPAGATOR.extract({TRACEPARENT: given.decode()}, Context()) if given else Context()
        attributes: dict[str, str | int] = {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": record.topic,
            "messaging.destination.partition.id": str(record.partition),
            "messaging.kafka.offset": record.offset,
            "messaging.consumer.group.name": self._group,
        }
        name = f"process {record.topic}"
        return self._tracer.start_span(name, parent, SpanKind.CONSUMER, attributes, start_time=now)

    def _batch_started(self, event: Event) -> None:
        """In the trace of the first record that is sampled, and so sampled itself; linked with all of them."""
        records = list(dict.fromkeys(traced for record in event.records if (traced := self._of(record))))
        sampled = [one for one in records if one.span.is_recording()]
        if not sampled:
            return
        attributes: dict[str, str | int] = {
            "messaging.batch.message_count": event.count,
            "review.batch.tokens": int(event.values[0]),
            "review.batch.reason": event.reason,
        }
        links, now = [Link(one.span.get_span_context()) for one in sampled], self._now()
        parent = sampled[0].context
        span = self._tracer.start_span("batch", parent, attributes=attributes, links=links, start_time=now)
        self._batches[event.batch] = _Batch(span, now, records)
        for one in records:
            one.batches.add(event.batch)

    def _queued(self, event: Event) -> None:
        now = self._now()
        for record, waited in zip(event.records, event.values, strict=True):
            if traced := self._of(record):
                self._stage(traced, "queue", now - int(waited * NANOSECONDS), now)

    def _answered(self, event: Event) -> None:
        if (batch := self._batches.get(event.batch)) is None:
            return
        link = Link(batch.span.get_span_context())
        for record, seconds in zip(event.records, event.values, strict=True):
            if traced := self._of(record):
                end = batch.started + int(seconds * NANOSECONDS)
                self._stage(traced, "engine", batch.started, end, link, kind=event.kind)
                traced.answered = max(traced.answered, end)

    def _batch_ended(self, event: Event) -> None:
        if (batch := self._batches.pop(event.batch, None)) is None:
            return
        batch.span.end(self._now())
        for traced in batch.records:
            traced.batches.discard(event.batch)
            self._finish(traced)

    def _retry(self, event: Event) -> None:
        for record in event.records:
            if traced := self._of(record):
                traced.span.add_event("retry", {"error.type": event.reason}, self._now())

    def _dead_letter(self, event: Event) -> None:
        for record in event.records:
            if traced := self._of(record):
                traced.span.set_attribute("error.type", event.reason)
                traced.span.set_status(Status(StatusCode.ERROR, "dead letter"))

    def _published(self, event: Event) -> None:
        """In offset order: all that lies below the committed offset."""
        lane, now = self._open.get((event.topic, event.partition), OrderedDict()), self._now()
        while lane and next(iter(lane)) < event.count:
            _, traced = lane.popitem(last=False)
            traced.published = now
            self._finish(traced)

    def _finish(self, traced: _Traced) -> None:
        if traced.published is not None and not traced.batches:
            self._stage(traced, "publish", min(traced.answered, traced.published), traced.published)
            traced.span.end(traced.published)

    def _closed(self, event: Event) -> None:
        """What was not committed is another member's work."""
        for traced in self._open.pop((event.topic, event.partition), {}).values():
            traced.span.set_attribute("review.abandoned", value=True)
            traced.span.end(self._now())

    def _stage(self, traced: _Traced, name: str, start: int, end: int, *links: Link, kind: str = "") -> None:
        if traced.span.is_recording():
            attributes = {"review.kind": kind} if kind else None
            span = self._tracer.start_span(name, traced.context, attributes=attributes, links=links, start_time=start)
            span.end(end)


def exporting(endpoint: str, group: str) -> Spans:
    """Spans that go to an OTLP endpoint over HTTP, in a thread of the SDK's."""
    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: SERVICE}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")))
    return Spans(provider, group)
