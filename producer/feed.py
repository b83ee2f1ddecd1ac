"""A blocking iterator, read in a thread: a silent pipe or terminal never holds up what is in flight."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

READ_AHEAD = 1_000


@dataclass(frozen=True, slots=True)
class _End:
    """The iterator has ended, with an error or without one."""

    error: BaseException | None


async def feed(items: Iterator[T], ahead: int = READ_AHEAD) -> AsyncIterator[T]:
    """Yield the items in order; at most `ahead` are read before they are asked for. Raises what the iterator raises.

    The thread is a daemon: one that waits for a terminal does not keep the program from ending.
    """
    loop, queue = asyncio.get_running_loop(), asyncio.Queue[T | _End]()
    room = threading.Semaphore(ahead)
    threading.Thread(target=_pump, args=(items, loop, queue, room), name="feed", daemon=True).start()
    while not isinstance(item := await queue.get(), _End):
        room.release()
        yield item
    if item.error is not None:
        raise item.error


def _pump(
    items: Iterator[T], loop: asyncio.AbstractEventLoop, queue: "asyncio.Queue[T | _End]", room: threading.Semaphore
) -> None:
    error: BaseException | None = None
    with suppress(RuntimeError):  # the loop is closed: nobody asks for more
        try:
            for item in items:
                room.acquire()
                loop.call_soon_threadsafe(queue.put_nowait, item)
        except Exception as caught:  # noqa: BLE001 - handed to whoever asks for the next item
            error = caught
        loop.call_soon_threadsafe(queue.put_nowait, _End(error))
