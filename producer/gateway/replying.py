"""Responses that take their time: gathered or as events, for as long as the client is there."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from fastapi import Request

from producer.errors import TryLater
from producer.gateway.events import KEEP_ALIVE, done_event, error_event, result_event
from producer.gateway.problems import client_gone
from producer.streams import Stream

T = TypeVar("T")

KEEP_ALIVE_SECONDS = 15.0


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do the work, and cancel it when the client goes away: Problem then, which nobody reads."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise client_gone()
        return working.result()
    finally:
        working.cancel()
        gone.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


async def events(stream: Stream[Any, Any], count: int) -> AsyncIterator[bytes]:
    """Each answer as soon as it is there, `done` at the end; comments in between, while nothing comes."""
    failed = 0
    try:
        async for answer in _with_pauses(stream):
            if answer is not None:
                failed += answer.error is not None
            yield KEEP_ALIVE if answer is None else result_event(answer)
        yield done_event(count, failed)
    except TryLater as error:
        yield error_event("unavailable", str(error))
    finally:
        stream.close()


async def _with_pauses(stream: Stream[Any, Any]) -> AsyncIterator[Any]:
    """The stream's answers, and None after each KEEP_ALIVE_SECONDS without one."""
    waiting = asyncio.ensure_future(anext(stream, None))
    try:
        while True:
            done, _ = await asyncio.wait({waiting}, timeout=KEEP_ALIVE_SECONDS)
            if done and waiting.result() is None:
                return
            if done:
                yield waiting.result()
                waiting = asyncio.ensure_future(anext(stream, None))
            else:
                yield None
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
