"""Work that goes on beside a `with` block, and has an owner."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager


@asynccontextmanager
async def beside(*work: tuple[Callable[[], Awaitable[None]], Callable[[], None]]) -> AsyncIterator[None]:
    """Run each (run, stop) while inside; at the end stop them, the last first, and wait for all.

    One that fails cancels the block, and is raised in an ExceptionGroup. An error of the block stays what it is.
    """
    stack = AsyncExitStack()
    tasks = await stack.enter_async_context(asyncio.TaskGroup())
    for run, stop in work:
        tasks.create_task(_awaited(run))
        stack.callback(stop)
    try:
        yield
    finally:
        await stack.aclose()


async def _awaited(run: Callable[[], Awaitable[None]]) -> None:
    await run()
