"""Server-sent events: pure. One event a restaurant, then `done`."""

from typing import Any

from producer.gathering import Answer
from schemas.codec import encode, encode_document

MEDIA_TYPE = "text/event-stream"
KEEP_ALIVE = b": waiting\n\n"
"""A comment: keeps proxies from taking a long wait for a dead connection."""


def result_event(answer: Answer[Any]) -> bytes:
    """One restaurant: `id` is its place in the request, from 0, `data` what stands at that place in the response."""
    return b"event: result\nid: %d\ndata: %b\n\n" % (answer.index, encode(answer.result))


def done_event(count: int, failed_count: int) -> bytes:
    """The end: how many restaurants there were, and how many of them carry an error."""
    return b"event: done\ndata: %b\n\n" % encode_document({"count": count, "failed_count": failed_count})


def error_event(code: str, message: str) -> bytes:
    """The end, where nothing could be asked."""
    return b"event: error\ndata: %b\n\n" % encode_document({"code": code, "message": message})


def wants_events(accept: str) -> bool:
    """Whether an Accept header asks for events."""
    return any(part.partition(";")[0].strip().lower() == MEDIA_TYPE for part in accept.split(","))
