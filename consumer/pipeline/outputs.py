"""Results and dead letters as records, with their CloudEvents headers (Kafka's binary mode)."""

from datetime import UTC, datetime
from functools import lru_cache

from consumer.errors import DeadLetter
from consumer.stream.record import Output, Record, is_escaped
from schemas.base import WireModel
from schemas.codec import encode
from schemas.headers import ATTEMPTS, DLQ_PREFIX, ESCAPED, TRACEPARENT, EventType, Headers, cloud_event, escaped_headers

SERVICE = "review-consumer"


def ce_id_of_record(record: Record, kind: str) -> str:
    """`{source topic}/{partition}/{offset}/{kind}`: the same on redelivery."""
    return f"{record.topic}/{record.partition}/{record.offset}/{kind}"


def ce_id_of_job(topic: str, key: bytes, version: int, revision: int = 0) -> str:
    """`{topic}/{key}/{version}`, for a job's output; `.{revision}` behind it where one came anew under the version."""
    again = f".{revision}" if revision else ""
    return f"{topic}/{key.decode('utf-8', 'replace')}/{version}{again}"


def headers(ce_id: str, kind: EventType, now: float, trace: bytes | None = None) -> Headers:
    """CloudEvents' attributes of a result of `kind`, made at `now` (seconds since 1970), and its trace."""
    marks = cloud_event(ce_id, kind, SERVICE, _moment(now))
    return (*marks, (TRACEPARENT, trace)) if trace else marks


@lru_cache(maxsize=16)
def _moment(now: float) -> datetime:
    """Of a commit, which has many results."""
    return datetime.fromtimestamp(now, UTC)


def result(
    topic: str, key: bytes, value: WireModel, place: int | bytes, marks: Headers, origin: object = None
) -> Output:
    """A result as a record."""
    return Output(topic, key, encode(value), place, marks, origin=origin)


def tombstone(topic: str, key: bytes, place: int | bytes) -> Output:
    """What removes a key from a compacted topic."""
    return Output(topic, key, None, place)


def dead_letter(topic: str, record: Record, fault: DeadLetter, attempts: int, now: float) -> Output:
    """The record as it came, byte for byte, and why it is here. Attempts of earlier lives are added up."""
    source = f"{record.topic}/{record.partition}/{record.offset}"
    moment = datetime.fromtimestamp(now, UTC).isoformat().replace("+00:00", "Z")
    added = {
        "dlq.reason": fault.reason,
        "dlq.error": str(fault)[:1000],
        ATTEMPTS: str(attempts + earlier_attempts(record)),
        "dlq.source": source,
        "dlq.failed_at": moment,
        "dlq.service": SERVICE,
    }
    marks = tuple((name, text.encode("utf-8", "replace")) for name, text in added.items())
    return Output(topic, record.key, record.value, record.key, _kept(record) + marks, record.timestamp)


def _kept(record: Record) -> Headers:
    """The headers as they came; all of them in one, in base64, where Kafka's clients cannot write a name."""
    kept = tuple((name, value) for name, value in record.headers if not name.startswith(DLQ_PREFIX))
    return ((ESCAPED, escaped_headers(kept)),) if any(is_escaped(name) for name, _ in kept) else kept


def earlier_attempts(record: Record) -> int:
    """Attempts that a replayed record brings along; 0 for a record that comes for the first time."""
    value = next((v for name, v in record.headers if name == ATTEMPTS), b"0")
    return int(value) if value and value.isdigit() and len(value) < 10 else 0  # noqa: PLR2004 - a number, not a flood of digits


def is_replayed(record: Record) -> bool:
    """Whether the record came back from the dead letters."""
    return any(name == ATTEMPTS for name, _ in record.headers)
