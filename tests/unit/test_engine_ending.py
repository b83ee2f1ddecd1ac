"""How everything that waits for an engine ends at once."""

import asyncio

import pytest

from consumer.engines.ending import Ending, together
from consumer.errors import EngineDown


async def test_all_that_waits_fails_at_the_end() -> None:
    """Whatever it waits for, which may never come; and nothing begins afterwards."""
    ending = Ending()

    async def wait_for_ever() -> None:
        async with ending.scope():
            await together(asyncio.Event().wait() for _ in range(3))

    waiting = [asyncio.create_task(wait_for_ever()) for _ in range(3)]
    await asyncio.sleep(0)
    ending.end("it died")
    ending.end("a second reason")
    outcomes = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
    assert [(type(o), str(o)) for o in outcomes] == [(EngineDown, "it died")] * 3
    with pytest.raises(EngineDown, match="it died"):
        await wait_for_ever()


async def test_a_cancellation_stays_one() -> None:
    """Who is cancelled from outside hears no EngineDown."""
    ending = Ending()

    async def wait_for_ever() -> None:
        async with ending.scope():
            await asyncio.Event().wait()

    task = asyncio.create_task(wait_for_ever())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_time_out_of_the_work_itself_is_the_works() -> None:
    """And the first failure of many is raised bare."""
    with pytest.raises(TimeoutError, match="my own"):
        async with Ending().scope():
            await together([_fails(), asyncio.sleep(60)])


async def _fails() -> None:
    raise TimeoutError("my own")
