"""What every call passes: its id, its key, its room, and the bounds on its body and on taking the reply.

Plain ASGI, around the app: a call that is refused here costs next to nothing, and no body is read for it.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from producer.asking import REQUEST_ID_FORM, valid_request_id
from producer.gateway.admission import Keys, Room
from producer.gateway.problems import Problem, later
from producer.settings import GatewaySettings

log = logging.getLogger(__name__)

API = "/api/"
REQUEST_ID = "X-Request-ID"
REQUEST_ID_STATE = "request_id"
"""Name under which the app finds the id in the scope's state."""
KEY = "X-API-Key"
RETRY_SECONDS = 1.0

Observe = Callable[[Scope, int, float], None]
"""(scope, status, seconds) of a call that is over."""


class Gate:
    """One for the whole gateway. `observe` is told of each call that is over; status 0: the client went away."""

    def __init__(self, app: ASGIApp, settings: GatewaySettings, room: Room, observe: Observe) -> None:
        self._app, self._settings, self._room, self._observe = app, settings, room, observe
        self._keys = Keys(settings.keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a call pass, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        call = _Call(scope, receive, send, self._settings, self._room)
        try:
            await self._pass(call)
        except _Slow:
            log.warning("a client did not take its reply in time; its connection is closed")
        finally:
            self._observe(scope, call.status, time.monotonic() - started)

    async def _pass(self, call: "_Call") -> None:
        given = call.headers.get(REQUEST_ID)
        if given is not None and not valid_request_id(given):
            await _wrong_id(call)
            return
        call.request_id = given or uuid.uuid4().hex
        call.scope.setdefault("state", {})[REQUEST_ID_STATE] = call.request_id
        if not call.scope["path"].startswith(API):
            await self._app(call.scope, call.receive, call.send)
        elif self._keys.asked_for and not self._keys.accept(call.headers.get(KEY, "").encode("latin-1")):
            await _answer(call, Problem(401, "unauthorized", f"a valid key is needed in the header {KEY}"))
        elif not self._room.enter():
            await _answer(call, later("saturated", "as many requests as allowed are at work", RETRY_SECONDS))
        else:
            try:
                await self._app(call.scope, call.receive, call.send)
            finally:
                self._room.leave(call.size)


class _Slow(Exception):  # noqa: N818 - the state it tells of
    """The client takes nothing of its reply."""


@dataclass(slots=True)
class _Call:
    """One call: counts the bytes of its body, and bounds its waits for the client."""

    scope: Scope
    _receive: Receive
    _send: Send
    _settings: GatewaySettings
    _room: Room
    headers: Headers = field(init=False)
    request_id: str = ""
    size: int = 0
    """Bytes of the body so far."""
    status: int = 0
    _until: float = 0.0
    _whole: bool = False

    def __post_init__(self) -> None:
        self.headers = Headers(scope=self.scope)
        self._until = asyncio.get_running_loop().time() + self._settings.body_timeout_seconds

    async def receive(self) -> Message:
        """Give the next part of the body; then wait for the client to go away. Raises Problem."""
        if self._whole:
            return await self._receive()
        self._allow(self._declared() - self.size)
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            seconds = self._settings.body_timeout_seconds
            raise Problem(408, "slow_body", f"the body did not arrive within {seconds:g} s", _CLOSE) from None
        self._take(len(message.get("body", b"")))
        self._whole = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the response. Raises _Slow where the client takes nothing."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.request_id:
                MutableHeaders(scope=message)[REQUEST_ID] = self.request_id
        try:
            async with asyncio.timeout(self._settings.body_timeout_seconds):
                await self._send(message)
        except TimeoutError:
            raise _Slow from None

    def _declared(self) -> int:
        length = self.headers.get("content-length", "")
        return int(length) if length.isascii() and length.isdigit() else 0

    def _allow(self, size: int) -> None:
        if self.size + size > self._settings.max_body_bytes:
            most = self._settings.max_body_bytes
            raise Problem(
                413, "too_many_bytes", f"the body is larger than {most} bytes (GATEWAY_MAX_BODY_BYTES)", _CLOSE
            )

    def _take(self, size: int) -> None:
        self._allow(size)
        if not self._room.grow(size):
            raise later("saturated", "as many bytes as allowed are at work", RETRY_SECONDS)
        self.size += size


_CLOSE = {"Connection": "close"}
"""What is left of the body is not read."""


async def _answer(call: _Call, problem: Problem) -> None:
    await problem.response()(call.scope, call.receive, call.send)


async def _wrong_id(call: _Call) -> None:
    wrong = {"type": "string_pattern_mismatch", "loc": ["header", REQUEST_ID], "msg": REQUEST_ID_FORM}
    await JSONResponse({"detail": [wrong]}, 422)(call.scope, call.receive, call.send)
