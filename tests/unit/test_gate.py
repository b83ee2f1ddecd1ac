"""The gate, as plain ASGI: clients that take nothing of their reply, go away, or send no end of a body."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from fastapi import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from producer.gateway.admission import Room
from producer.gateway.gate import Gate
from producer.gateway.problems import Problem
from producer.settings import GatewaySettings

SETTINGS = GatewaySettings(body_timeout_seconds=0.05, max_body_bytes=1024, max_bytes_in_flight=1500)


class Caller:
    """One call: its messages in, what was sent out, and what the gate observed."""

    def __init__(self, app: ASGIApp, room: Room, messages: Sequence[Message] = (), *, takes: bool = True) -> None:
        self._messages, self._takes = list(messages), takes
        self.sent: list[Message] = []
        self.observed: list[int] = []
        observe: Callable[[Scope, int, float], None] = lambda _scope, status, _seconds: self.observed.append(status)  # noqa: E731
        self._gate = Gate(app, SETTINGS, room, observe)

    async def call(self) -> int:
        """Make the call; its status, 0 where nothing was sent."""
        scope: Scope = {"type": "http", "method": "POST", "path": "/api/x", "headers": [], "query_string": b""}
        await self._gate(scope, self._receive, self._send)
        return self.observed[0]

    async def _receive(self) -> Message:
        if self._messages:
            return self._messages.pop(0)
        return await asyncio.Future()

    async def _send(self, message: Message) -> None:
        if not self._takes:
            await asyncio.Future()
        self.sent.append(message)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body and give it back, or say what is wrong as the app's handlers do."""
    try:
        response: Any = PlainTextResponse(await Request(scope, receive).body())
    except Problem as problem:
        response = problem.response()
    await response(scope, receive, send)


def part(size: int, *, more: bool) -> Message:
    """A part of a body."""
    return {"type": "http.request", "body": b"x" * size, "more_body": more}


async def test_a_whole_call() -> None:
    """It gets an id, and leaves nothing behind."""
    room = Room(1, 1500)
    caller = Caller(echo, room, [part(600, more=True), part(424, more=False)])
    assert await caller.call() == 200
    assert b"x-request-id" in dict(caller.sent[0]["headers"])
    assert (room.requests, room.bytes) == (0, 0)


async def test_a_client_that_takes_nothing() -> None:
    """Its call ends at the time-out, and its room comes back."""
    room = Room(1, 1500)
    caller = Caller(echo, room, [part(10, more=False)], takes=False)
    assert await caller.call() == 200
    assert (caller.sent, room.requests, room.bytes) == ([], 0, 0)


async def test_bodies_that_do_not_end_or_are_too_large() -> None:
    """408 at the time-out, 413 with the first byte too many, 503 where all bodies together are too large."""
    room = Room(2, 1500)
    assert await Caller(echo, room, [part(10, more=True)]).call() == 408
    assert await Caller(echo, room, [part(1024, more=True), part(1, more=True)]).call() == 413
    assert room.enter()
    assert room.grow(1000)
    assert await Caller(echo, room, [part(600, more=False)]).call() == 503
    room.leave(1000)
    assert (room.requests, room.bytes) == (0, 0)


async def test_a_full_room_reads_no_body() -> None:
    """503 without a look at it."""
    room = Room(0, 1500)
    caller = Caller(echo, room, [part(10, more=False)])
    assert await caller.call() == 503
    assert dict(caller.sent[0]["headers"])[b"retry-after"] == b"1"


async def test_a_cancelled_call_gives_its_room_back() -> None:
    """As when the server stops."""
    room = Room(1, 1500)
    task = asyncio.create_task(Caller(_never, room).call())
    await asyncio.sleep(0)
    assert room.requests == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert room.requests == 0


async def _never(_scope: Scope, _receive: Receive, _send: Send) -> None:
    await asyncio.Future()
