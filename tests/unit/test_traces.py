"""Traces: what is exported of a record's way, whose child it is, and what it is linked with."""

import gzip
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import StatusCode

import consumer.hooks
from consumer.hooks.events import Event, What
from consumer.hooks.logs import log_listener
from consumer.hooks.traces import Spans, exporting
from consumer.pipeline import assembly
from consumer.settings import load
from consumer.stream.record import Record
from tests.unit.records import FakeRecord

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SECOND = 1_000_000_000
LANE = ("restaurant.reviews", 2)


class World:
    """Spans, a clock, and what was exported."""

    def __init__(self) -> None:
        self.exported = InMemorySpanExporter()
        provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(0.0)), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exported))
        self.now = 100 * SECOND
        self.spans = Spans(provider, "group", lambda: self.now)

    def hear(self, what: What, *, after: float = 0.0, **fields: object) -> None:
        """An event, seconds after the last one."""
        self.now += int(after * SECOND)
        self.spans(Event(what, *LANE, **fields))  # type: ignore[arg-type] # as the tests name them

    def run(self, records: Sequence[Record], *, batch: int = 1, answered: bool = True) -> None:
        """Through a micro-batch: 0.5 s in the queue, 2 s in the engine."""
        count = len(records)
        self.hear(
            What.BATCH_STARTED, after=0.5, count=count, values=(90,), reason="linger", records=records, batch=batch
        )
        self.hear(What.QUEUED, kind="sentiment", values=[0.5] * count, records=records, batch=batch)
        if answered:
            said = [2.0] * count
            self.hear(What.ANSWERED, after=2, kind="sentiment", values=said, records=records, batch=batch)
        self.hear(What.BATCH_ENDED, batch=batch)

    def named(self, name: str) -> list[ReadableSpan]:
        """What was exported under a name."""
        return [span for span in self.exported.get_finished_spans() if span.name == name]


def _record(offset: int, flags: str = "01") -> Record:
    header = ("traceparent", f"00-{TRACE}-{PARENT}-{flags}".encode())
    return FakeRecord(partition=2, offset=offset, headers=(header,))


def _seconds(span: ReadableSpan) -> tuple[float, float]:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time / SECOND, span.end_time / SECOND


def test_a_records_way_is_one_trace() -> None:
    """Queue, engine and publish are children of the record's span, which is a child of what came with it."""
    world, records = World(), [_record(5), _record(6)]
    world.hear(What.ACCEPTED, records=records)
    world.run(records)
    world.hear(What.PUBLISHED, after=1, count=7)
    first, _ = world.named("process restaurant.reviews")
    assert first.context is not None
    assert first.parent is not None
    assert (f"{first.context.trace_id:032x}", f"{first.parent.span_id:016x}") == (TRACE, PARENT)
    assert _seconds(first) == (100.0, 103.5)
    assert first.attributes is not None
    assert first.attributes["messaging.kafka.offset"] == 5
    for name, times in {"queue": (100.0, 100.5), "engine": (100.5, 102.5), "publish": (102.5, 103.5)}.items():
        stages = world.named(name)
        assert [_seconds(stage) for stage in stages] == [times, times]
        assert stages[0].parent is not None
        assert stages[0].parent.span_id == first.context.span_id


def test_a_batch_is_linked_with_its_records_and_they_with_it() -> None:
    """It has as many parents as items: it is in the first one's trace, so that it is sampled as that is."""
    world, records = World(), [_record(5), _record(6)]
    world.hear(What.ACCEPTED, records=records)
    world.run(records)
    world.hear(What.PUBLISHED, count=7)
    (batch,) = world.named("batch")
    processes = world.named("process restaurant.reviews")
    assert batch.parent is not None
    assert batch.context is not None
    assert batch.parent.span_id == processes[0].context.span_id
    assert {link.context.span_id for link in batch.links} == {p.context.span_id for p in processes if p.context}
    assert [link.context.span_id for link in world.named("engine")[0].links] == [batch.context.span_id]


def test_what_goes_on_is_the_records_span() -> None:
    """In the results' headers, and to a server that is asked: the trace that came, and our place in it."""
    world, record = World(), _record(5)
    assert world.spans.traceparent(record) is None
    world.hear(What.ACCEPTED, records=[record])
    given = world.spans.traceparent(record)
    world.hear(What.PUBLISHED, count=6)
    (process,) = world.named("process restaurant.reviews")
    assert process.context is not None
    assert given == f"00-{TRACE}-{process.context.span_id:016x}-01".encode()


def test_what_nobody_samples_costs_no_span() -> None:
    """Its trace goes on all the same, with our place and without the flag."""
    world, record = World(), _record(5, "00")
    world.hear(What.ACCEPTED, records=[record])
    given = world.spans.traceparent(record)
    world.run([record])
    world.hear(What.PUBLISHED, count=6)
    assert world.exported.get_finished_spans() == ()
    assert given is not None
    assert given.startswith(f"00-{TRACE}-".encode())
    assert given.endswith(b"-00")


def test_a_batch_without_records_is_no_trace() -> None:
    """Jobs are asked by no record."""
    world = World()
    world.hear(What.BATCH_STARTED, count=1, values=(9,), records=[None], batch=3)
    world.hear(What.QUEUED, values=[0.1], records=[None], batch=3)
    world.hear(What.ANSWERED, values=[0.1], records=[None], batch=3)
    world.hear(What.BATCH_ENDED, batch=3)
    assert world.exported.get_finished_spans() == ()


def test_a_record_that_is_committed_before_its_batch_has_told_of_it_waits_for_that() -> None:
    """Answers are told together: the span must not be gone by then."""
    world, record = World(), _record(5)
    world.hear(What.ACCEPTED, records=[record])
    world.hear(What.BATCH_STARTED, count=2, values=(9,), records=[record, None], batch=1)
    world.hear(What.PUBLISHED, after=3, count=6)
    assert world.exported.get_finished_spans() == ()
    world.hear(What.BATCH_ENDED, after=5, batch=1)
    (process,) = world.named("process restaurant.reviews")
    assert _seconds(process) == (100.0, 103.0)


def test_a_retry_and_a_dead_letter_are_on_the_records_span() -> None:
    """With their codes, and without words that may quote a review."""
    world, record = World(), _record(5)
    world.hear(What.ACCEPTED, records=[record])
    world.run([record])
    world.hear(What.RETRY, reason="engine_error", detail="secret", records=(record,))
    world.run([record], batch=2, answered=False)
    world.hear(What.DEAD_LETTER, reason="engine_timeout", detail="secret", records=(record,))
    world.hear(What.PUBLISHED, count=6)
    (process,) = world.named("process restaurant.reviews")
    assert process.status.status_code is StatusCode.ERROR
    assert [event.name for event in process.events] == ["retry"]
    assert "secret" not in process.to_json()
    assert len(world.named("queue")) == 2
    assert len(world.named("engine")) == 1


def test_what_is_given_up_ends_and_says_so() -> None:
    """On a revocation: another member works on it."""
    world, record = World(), _record(5)
    world.hear(What.ACCEPTED, records=[record])
    world.hear(What.CLOSED, count=5)
    (process,) = world.named("process restaurant.reviews")
    assert process.attributes is not None
    assert process.attributes["review.abandoned"] is True
    assert world.spans.traceparent(record) is None


def test_a_line_about_one_record_has_its_trace_id(caplog: pytest.LogCaptureFixture) -> None:
    """Without OpenTelemetry too: it is in the record's headers."""
    listen = log_listener(lambda: 0.0)
    with caplog.at_level(logging.INFO, "consumer.events"):
        listen(Event(What.DEAD_LETTER, *LANE, reason="not_json", records=(_record(1),)))
        listen(Event(What.DEAD_LETTER, *LANE, reason="not_json", records=(FakeRecord(),)))
    assert [vars(line).get("trace_id") for line in caplog.records] == [TRACE, None]


def test_spans_reach_a_collector_with_the_services_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over HTTP, at the latest when it ends."""
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    asked: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        spans = exporting(f"http://127.0.0.1:{server.server_port}/", "group")
        for event in (Event(What.ACCEPTED, *LANE, records=[_record(5)]), Event(What.PUBLISHED, *LANE, count=6)):
            spans(event)
        spans.close()
        server.shutdown()
        thread.join()
    ((path, body),) = asked
    assert path == "/v1/traces"
    for part in (b"review-consumer", b"process restaurant.reviews", bytes.fromhex(TRACE)):
        assert part in gzip.decompress(body) if body[:2] == b"\x1f\x8b" else part in body


def test_without_an_endpoint_nothing_is_imported_and_nothing_listens() -> None:
    """Nor where the extra is missing: platforms set the endpoint for whole clusters."""
    code = "import sys, consumer.pipeline.assembly as a; from consumer.settings import load; "
    code += "print(a._spans(load()), 'opentelemetry.sdk' in sys.modules)"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    said = subprocess.run([sys.executable, "-c", code], env=kept, capture_output=True, text=True, check=True)  # noqa: S603
    assert said.stdout.split() == ["None", "False"]


def test_without_the_extra_a_line_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And the service works."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")
    monkeypatch.setitem(sys.modules, "consumer.hooks.traces", None)
    monkeypatch.delattr(consumer.hooks, "traces")
    assert assembly._spans(load()) is None
    assert "review-consumer[otel]" in caplog.text
