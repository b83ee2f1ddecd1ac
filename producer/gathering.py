"""The replies to requests, gathered: which are wanted, which are repeats, what is still missing. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, cast

from producer.kinds import Failed, I, Kind, R
from schemas.base import id_text
from schemas.findings import AnalysisError
from schemas.results import AnalysisReply

TIMEOUT = "timeout"
"""Code of a place whose reply did not come in time."""
TOO_LARGE = "too_large"
"""Code of a place whose request Kafka does not take."""
UNAVAILABLE = "unavailable"
"""Code of a place whose request could not be handed over."""
INVALID_REPLY = "invalid_reply"
"""Code of a place whose reply is no answer to what was asked."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[R]):
    """What became of one restaurant of a request: its place in the request, from 0, and its result or error."""

    index: int
    result: R

    @property
    def error(self) -> AnalysisError | None:
        """Why there is no result; None where there is one."""
        return self.result.error if isinstance(self.result, Failed) else None


class Gathering(Generic[I, R]):
    """One request's places. Each is filled once: what comes for it later is a repeat."""

    def __init__(self, kind: Kind[I, R, Any], restaurants: Sequence[I]) -> None:
        self._kind, self._restaurants = kind, restaurants
        self._missing = dict.fromkeys(range(len(restaurants)))

    @property
    def complete(self) -> bool:
        """Whether every place is filled."""
        return not self._missing

    def take(self, reply: AnalysisReply) -> Answer[R] | None:
        """Fill a place; None for a repeat, or for a place that was never asked for."""
        if reply.error is not None:
            return self.fail(reply.index, reply.error)
        if reply.index not in self._missing:
            return None
        if not self._answers(reply):
            return self.fail(
                reply.index, AnalysisError(code=INVALID_REPLY, message="the reply does not fit the request")
            )
        del self._missing[reply.index]
        return Answer(reply.index, cast("R", reply.result))

    def fail(self, index: int, error: AnalysisError) -> Answer[R] | None:
        """Fill a place with an error; None where it is filled already."""
        if index not in self._missing:
            return None
        del self._missing[index]
        return Answer(index, self._kind.failed(self._kind.restaurant_of(self._restaurants[index]), error))

    def fail_missing(self, error: AnalysisError) -> list[Answer[R]]:
        """Fill every place that is left, in order."""
        return [answer for index in sorted(self._missing) if (answer := self.fail(index, error))]

    def _answers(self, reply: AnalysisReply) -> bool:
        """Whether the result is of the kind that was asked for, and about the restaurant of its place."""
        if reply.kind != self._kind.name or not isinstance(reply.result, self._kind.result):
            return False
        asked = self._kind.restaurant_of(self._restaurants[reply.index])
        return id_text(self._kind.restaurant_of(cast("R", reply.result))) == id_text(asked)


class Taking(Protocol):
    """What `Pending` needs of an open request."""

    def reply(self, reply: AnalysisReply) -> bool:
        """Take a reply; False for a repeat."""


@dataclass(slots=True)
class Dropped:
    """Replies that nobody waited for."""

    unknown: int = 0
    """To requests of other clients, or of ours that are over."""
    repeats: int = 0
    """To places that were filled already."""
    unreadable: int = 0
    """No replies at all."""


class Pending:
    """Open requests by id, bounded by the restaurants that are waited for."""

    def __init__(self, max_restaurants: int) -> None:
        self._max, self._open = max_restaurants, dict[str, tuple[Taking, int]]()
        self.restaurants = 0
        """Restaurants of all open requests."""
        self.dropped = Dropped()

    def __len__(self) -> int:
        """How many requests are open."""
        return len(self._open)

    def has_room(self, restaurants: int) -> bool:
        """Whether a request of so many restaurants can be opened."""
        return self.restaurants + restaurants <= self._max

    def open(self, request_id: str, request: Taking, restaurants: int) -> None:
        """Wait for the replies to a request; the caller has asked for room."""
        if request_id in self._open:
            raise ValueError(f"request {request_id} is open already")
        self._open[request_id] = (request, restaurants)
        self.restaurants += restaurants

    def close(self, request_id: str) -> None:
        """Wait no longer; its later replies are unknown. Safe to call twice."""
        _, restaurants = self._open.pop(request_id, (None, 0))
        self.restaurants -= restaurants

    def wants(self, key: bytes | None) -> bool:
        """Whether a reply's key `{request_id}/{index}` is of an open request; if not, it is counted and dropped."""
        wanted = (key or b"").rpartition(b"/")[0].decode("utf-8", "replace") in self._open
        self.dropped.unknown += not wanted
        return wanted

    def take(self, reply: AnalysisReply) -> None:
        """Hand a reply to its request; what nobody waits for is counted and dropped."""
        found = self._open.get(reply.request_id)
        if found is None:
            self.dropped.unknown += 1
        elif not found[0].reply(reply):
            self.dropped.repeats += 1


def in_order(answers: Iterable[Answer[R]]) -> tuple[R, ...]:
    """The results in the request's order."""
    return tuple(answer.result for answer in sorted(answers, key=lambda answer: answer.index))


def failures(answers: Iterable[Answer[R]]) -> int:
    """How many of the answers are errors."""
    return sum(answer.error is not None for answer in answers)
