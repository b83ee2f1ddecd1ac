"""What commands that take a while have in common: a bar on standard error, a quick event loop, a graceful stop."""

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

T = TypeVar("T")


@contextmanager
def progress(total: int) -> Iterator[tuple[Callable[[str], None], Callable[[int], None]]]:
    """Hold a progress bar on standard error; give what names the step, and what moves it on by so many."""
    out = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=out, disable=not out.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda text: bar.update(task, description=text), lambda count: bar.advance(task, count)


@contextmanager
def open_ended(text: str) -> Iterator[Callable[[int, int], None]]:
    """Hold such a bar; give what sets it to so much done, of so much that is known by now."""
    out = Console(stderr=True)
    columns = (TextColumn(text), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=out, disable=not out.is_terminal) as bar:
        task = bar.add_task(text)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run it to its end."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


async def until_stopped(work: Coroutine[Any, Any, T], stop: Callable[[], None]) -> T:
    """Await it; SIGTERM and SIGINT call `stop`, which lets it end."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    return await work


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """That of uvloop where there is one: several times as many records a second."""
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415 - not on every platform

    return uvloop.new_event_loop
