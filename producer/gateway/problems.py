"""What goes wrong over HTTP: told as `{"error": {"code", "message"}}`, wrong fields in FastAPI's own form."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from producer.errors import NothingReady, TryLater

MAX_TOLD = 50
"""Wrong fields that one answer lists."""
CLIENT_CLOSED_REQUEST = 499
_ID_BRANCHES = frozenset({"constrained-str", "int"})
"""How pydantic calls the two forms of an id; to a caller they are one field."""
_CODES = {404: "not_found", 405: "method_not_allowed"}


class Problem(Exception):  # noqa: N818 - it is told to the caller, and is no error of ours
    """Answer with this status; code and message go into the body."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        """Keep what the response is made of."""
        super().__init__(message)
        self.status, self.code, self.headers = status, code, dict(headers or {})

    def response(self) -> JSONResponse:
        """The whole response."""
        body = {"error": {"code": self.code, "message": str(self)}}
        return JSONResponse(body, self.status, self.headers)


def later(code: str, message: str, seconds: float) -> Problem:
    """503, with the time after which it is worth another try."""
    return Problem(503, code, message, {"Retry-After": str(max(1, round(seconds)))})


def client_gone() -> Problem:
    """An answer that nobody reads: the client closed the connection."""
    return Problem(CLIENT_CLOSED_REQUEST, "client_gone", "the client went away")


def wrong_field(place: tuple[str | int, ...], kind: str, message: str) -> RequestValidationError:
    """422 for one field."""
    return RequestValidationError([{"type": kind, "loc": place, "msg": message}])


def wrong_fields(error: ValidationError, place: tuple[str | int, ...]) -> list[dict[str, Any]]:
    """Entries of a 422, for what lies at `place`: where and what, never the value, which the sender knows."""
    found = error.errors(include_url=False, include_context=False, include_input=False)[:MAX_TOLD]
    return [{**e, "loc": (*place, *_place(e["loc"]))} for e in found]


def add_handlers(app: FastAPI) -> None:
    """Let the app tell every problem in these forms."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(TryLater, _try_later)
    app.add_exception_handler(NothingReady, _nothing_ready)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _wrong)
    app.add_exception_handler(Exception, _internal)


def _place(steps: tuple[str | int, ...]) -> tuple[str | int, ...]:
    return tuple(step for step in steps if step not in _ID_BRANCHES)


async def _problem(_request: Request, error: Any) -> Response:
    return error.response()  # type: ignore[no-any-return] # registered for Problem only


async def _try_later(_request: Request, error: Any) -> Response:
    return later("unavailable", str(error), error.seconds).response()


async def _nothing_ready(_request: Request, error: Exception) -> Response:
    return Problem(504, "timeout", str(error)).response()


async def _gone(_request: Request, _error: Exception) -> Response:
    return client_gone().response()


async def _http(_request: Request, error: Any) -> Response:
    code = _CODES.get(error.status_code, "refused")
    return Problem(error.status_code, code, str(error.detail), error.headers).response()


async def _wrong(_request: Request, error: Any) -> Response:
    kept = ("type", "loc", "msg")
    return JSONResponse({"detail": [{name: found[name] for name in kept} for found in error.errors()]}, 422)


async def _internal(_request: Request, _error: Exception) -> Response:
    return Problem(500, "internal", "an error of the gateway; its log has the traceback").response()
