"""What is asked, and the record that asks it for one restaurant: pure."""

import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic

from producer.kinds import I, Kind, R
from schemas.base import Priority
from schemas.codec import encode
from schemas.events import AnalysisRequest
from schemas.headers import TRACEPARENT, EventType, Headers, cloud_event

SOURCE = "review-producer"
REQUEST_ID_FORM = "1 to 128 letters, digits, full stops, hyphens and underscores are allowed"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a client."""

    timeout_seconds: float = 60.0
    """On a whole request, where it says nothing else."""
    max_pending: int = 10_000
    """Restaurants waited for at once, over all requests."""
    probe_seconds: float = 5.0
    """Between requests that are let through while nobody answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """How one request is to be answered."""

    timeout_seconds: float | None = None
    """Bound on the whole request; None for the client's own. Work that has not begun by then is not begun."""
    max_tokens_per_batch: int | None = None
    """1,000 to 8,000."""
    priority: Priority = Priority.HIGH
    request_id: str | None = None
    """Begins the id of the request in Kafka; the rest is random, so that the same may be given twice."""
    traceparent: str | None = None
    """W3C Trace Context, handed on; one that is none is left out."""


DEFAULT_LIMITS = Limits()
AS_USUAL = Ask()


class Question(Generic[I, R]):
    """One request with an id of its own."""

    def __init__(self, kind: Kind[I, R, Any], restaurants: tuple[I, ...], ask: Ask, limits: Limits) -> None:
        if ask.request_id is not None and not valid_request_id(ask.request_id):
            raise ValueError(f"request_id: {REQUEST_ID_FORM}")
        self.kind, self.restaurants, self._ask = kind, restaurants, ask
        self.timeout_seconds = limits.timeout_seconds if ask.timeout_seconds is None else ask.timeout_seconds
        self.request_id = ".".join(filter(None, (ask.request_id, uuid.uuid4().hex)))

    def record(self, index: int, now: datetime, deadline: datetime) -> tuple[bytes, bytes, Headers]:
        """Key, value and headers of one restaurant's record."""
        key = f"{self.request_id}/{index}"
        request = AnalysisRequest(
            request_id=self.request_id,
            index=index,
            count=len(self.restaurants),
            kind=self.kind.name,
            restaurant=self.restaurants[index],
            max_tokens_per_batch=self._ask.max_tokens_per_batch,
            priority=self._ask.priority,
            deadline=deadline,
        )
        headers = cloud_event(f"{key}/request", EventType.REQUEST, SOURCE, now)
        return key.encode(), encode(request), (*headers, *self._trace())

    def deadline(self, now: datetime) -> datetime:
        """When an answer is of no use any more."""
        return now + timedelta(seconds=self.timeout_seconds)

    def _trace(self) -> Headers:
        given = self._ask.traceparent
        return ((TRACEPARENT, given.encode()),) if given and _TRACEPARENT.fullmatch(given) else ()


def valid_request_id(text: str) -> bool:
    """Whether a text may be a request's id."""
    return _REQUEST_ID.fullmatch(text) is not None


def utc_now() -> datetime:
    """The wall clock, for deadlines."""
    return datetime.now(UTC)
