"""Headers of the records we make: CloudEvents in Kafka's binary mode, the trace's parent, and the dead letters' own.

Source: CloudEvents 1.0.2, Kafka protocol binding (header names `ce_...` and `content-type`, values UTF-8).
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from functools import lru_cache

Headers = tuple[tuple[str, bytes], ...]
"""Kafka's headers: names may repeat, the order is kept."""

CONTENT_TYPE = "application/json"
SPEC_VERSION = "1.0"
TRACEPARENT = "traceparent"
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""W3C Trace Context, in the form of version 00; ids of zeros alone are none."""
DLQ_PREFIX = "dlq."
ATTEMPTS = "dlq.attempts"
ESCAPED = "dlq.headers"
"""A dead letter's header that stands for all of the original's."""

CLOUD_EVENT_HEADERS = {
    "ce_specversion": "Version of CloudEvents, 1.0.",
    "ce_id": "`{topic}/{partition}/{offset}/{kind}` of its source; a job's `{topic}/{key}/{version}`.",
    "ce_type": "What the value is, such as `restaurant.sentiment.v1`.",
    "ce_source": "The program that wrote the record.",
    "ce_time": "When it was written, RFC 3339.",
    "content-type": "`application/json`.",
}
"""Names and meanings of the headers of every record we make."""

DEAD_LETTER_HEADERS = {
    "dlq.reason": "Code of the reason, such as `not_json`.",
    "dlq.error": "What was wrong and what is allowed, for people; never the review's text.",
    ATTEMPTS: "How often the record was tried, over all replays.",
    "dlq.source": "`{topic}/{partition}/{offset}` of the original record.",
    "dlq.failed_at": "When it failed, RFC 3339.",
    "dlq.service": "The program that gave up.",
    ESCAPED: "Only where a header's name was not UTF-8, instead of the original headers: all of them, as JSON "
    "`[[name, value], ...]`, in base64 each; null for a header without value.",
}
"""Names and meanings of the headers added to the original's; a replay strips them, except `dlq.attempts`."""


class EventType(StrEnum):
    """`ce_type` of what each topic carries. A breaking change of a value is a new type and a new topic."""

    REVIEW = "restaurant.review.v1"
    REQUEST = "restaurant.request.v1"
    SENTIMENT = "restaurant.sentiment.v1"
    TOTALS = "restaurant.totals.v1"
    SUMMARY = "restaurant.summary.v1"
    STRENGTH = "restaurant.strength.v1"
    REPLY = "restaurant.reply.v1"


def traceparent_of(headers: Iterable[tuple[str, bytes | None]]) -> bytes | None:
    """The `traceparent` that came in; None where there is none, or none that is valid."""
    for name, value in headers:
        if name == TRACEPARENT and value and _TRACEPARENT.fullmatch(value):
            return value
    return None


def cloud_event(event_id: str, event_type: EventType, source: str, time: datetime) -> Headers:
    """The headers of one record we make; `time` must be aware of its offset from UTC."""
    version, *others = _of_all(event_type, source, time)
    return (version, ("ce_id", event_id.encode("utf-8", "surrogatepass")), *others)


@lru_cache(maxsize=64)
def _of_all(event_type: EventType, source: str, time: datetime) -> Headers:
    """What the records of one commit have in common."""
    return (
        ("ce_specversion", SPEC_VERSION.encode()),
        ("ce_type", event_type.value.encode()),
        ("ce_source", source.encode()),
        ("ce_time", time.isoformat().replace("+00:00", "Z").encode()),
        ("content-type", CONTENT_TYPE.encode()),
    )


def escaped_headers(headers: Headers) -> bytes:
    """Headers whose names may be no UTF-8, as the value of one header."""
    pairs = [
        [_base64(name.encode("utf-8", "surrogateescape")), None if value is None else _base64(value)]
        for name, value in headers
    ]
    return json.dumps(pairs, separators=(",", ":")).encode()


def unescaped_headers(value: bytes) -> Headers:
    """What `escaped_headers` was given; ValueError where it is none of its."""
    try:
        return tuple(
            (base64.b64decode(name, validate=True).decode("utf-8", "surrogateescape"), _bytes(content))
            for name, content in json.loads(value)
        )
    except (binascii.Error, TypeError) as error:
        raise ValueError(f"not headers in base64: {error}") from None


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _bytes(text: str | None) -> bytes:
    return None if text is None else base64.b64decode(text, validate=True)  # type: ignore[return-value] # Kafka allows null
