"""Records that we make: CloudEvents headers, and dead letters byte for byte."""

from consumer.errors import DeadLetter
from consumer.pipeline import outputs
from consumer.pipeline.workload import trace_that_came
from schemas.headers import EventType
from tests.unit.records import FakeRecord

NOW = 1_790_000_000.5
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_dead_letter_keeps_everything() -> None:
    """Key, value, timestamp and headers as they came; the reason beside them."""
    record = FakeRecord(offset=7, key=b"\xff\x00", value=b"\xfe not utf-8", headers=(("a", b"\xff"), ("a", b"2")))
    letter = outputs.dead_letter("dlq", record, DeadLetter("not_json", "the value is not JSON"), 1, NOW)
    assert (letter.key, letter.value, letter.timestamp) == (record.key, record.value, record.timestamp)
    assert letter.headers[:2] == record.headers
    added = dict(letter.headers[2:])
    assert added["dlq.reason"] == b"not_json"
    assert added["dlq.error"] == b"the value is not JSON"
    assert added["dlq.source"] == b"restaurant.reviews/0/7"
    assert added["dlq.attempts"] == b"1"
    assert added["dlq.failed_at"] == b"2026-09-21T14:13:20.500000Z"


def test_a_replayed_record_adds_its_attempts_and_replaces_the_rest() -> None:
    """Only one set of dlq headers, attempts summed over its lives."""
    record = FakeRecord(headers=(("dlq.attempts", b"5"), ("dlq.reason", b"engine_error"), ("k", b"v")))
    letter = outputs.dead_letter("dlq", record, DeadLetter("not_json", "x"), 2, NOW)
    names = [name for name, _ in letter.headers]
    assert names.count("dlq.reason") == names.count("dlq.attempts") == 1
    assert dict(letter.headers)["dlq.attempts"] == b"7"
    assert outputs.is_replayed(record)


def test_hostile_attempts_are_no_number() -> None:
    """A header of digits without end is not computed with."""
    assert outputs.earlier_attempts(FakeRecord(headers=(("dlq.attempts", b"9" * 5000),))) == 0
    assert outputs.earlier_attempts(FakeRecord(headers=(("dlq.attempts", b"-3"),))) == 0
    assert outputs.earlier_attempts(FakeRecord()) == 0


def test_a_trace_that_is_none_stays_behind() -> None:
    """A megabyte under that name would make every result too large."""
    for value in (b"x" * 1_000_000, b"", None, b"00-AB", b"00-" + b"0" * 32 + b"-" + b"1" * 16 + b"-01"):
        assert trace_that_came(FakeRecord(headers=(("traceparent", value),))) is None  # type: ignore[arg-type]


def test_null_header_values_are_kept_and_not_computed_with() -> None:
    """Kafka allows them."""
    nothing: bytes = None  # type: ignore[assignment] # as aiokafka gives them, whatever its types say
    record = FakeRecord(headers=(("dlq.attempts", nothing), ("k", nothing)))
    letter = outputs.dead_letter("dlq", record, DeadLetter("not_json", "x"), 1, NOW)
    assert dict(letter.headers)["dlq.attempts"] == b"1"
    assert letter.headers[0] == ("k", nothing)


def test_cloud_events_headers() -> None:
    """The id is the same on redelivery, the trace goes on."""
    record = FakeRecord(partition=2, offset=9, headers=(("traceparent", TRACE), ("other", b"x")))
    ce_id = outputs.ce_id_of_record(record, "sentiment")
    marks = dict(outputs.headers(ce_id, EventType.SENTIMENT, NOW, trace_that_came(record)))
    assert marks == {
        "ce_specversion": b"1.0",
        "ce_id": b"restaurant.reviews/2/9/sentiment",
        "ce_type": b"restaurant.sentiment.v1",
        "ce_source": b"review-consumer",
        "ce_time": b"2026-09-21T14:13:20.500000Z",
        "content-type": b"application/json",
        "traceparent": TRACE,
    }
    assert outputs.ce_id_of_job("restaurant.summary", "곱창".encode(), 3) == "restaurant.summary/곱창/3"
