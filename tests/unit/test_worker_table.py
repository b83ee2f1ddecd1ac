"""A by-group lane begins its jobs with the whole table: what was polled counts when it has been offered, not before."""

import asyncio
from types import SimpleNamespace
from typing import Any

from consumer.pipeline.worker import Assigned, Keeps, Worker
from consumer.store.memory import MemoryStore
from consumer.stream.record import Partition


class Polling:
    """A source whose position is at the end already while the records are still on their way to the lane."""

    def __init__(self, position: int) -> None:
        self.at = position
        self.asked = asyncio.Event()

    async def position(self, _: Partition) -> int:
        """As aiokafka's: moved when a poll collects its records."""
        self.asked.set()
        return self.at


def _worker(source: Polling) -> Worker:
    shared = SimpleNamespace(hooks=lambda _: None, clock=lambda: 0.0, wall=lambda: 0.0)
    ground: Any = SimpleNamespace(
        source=source, shared=shared, publishers=SimpleNamespace(publisher=lambda _lane, _generation: None)
    )
    assigned = Assigned(Partition("by-group", 0), 1, 1, keeps=Keeps.TABLE)
    made: Any = lambda _worker, _store: None  # noqa: E731 - never called here
    return Worker(assigned, ground, MemoryStore, made)


async def test_the_table_is_read_only_when_the_poll_that_reached_its_end_was_offered() -> None:
    """Else the lane would take its members' last summaries for missing, and make their strengths anew."""
    source = Polling(9)
    worker = _worker(source)
    reading = asyncio.create_task(worker._until_table_is_read(9))
    await source.asked.wait()
    await asyncio.sleep(0.2)
    assert not reading.done()
    worker.offered()
    await asyncio.wait_for(reading, 5)


async def test_an_offer_before_the_end_was_reached_is_not_enough() -> None:
    """It may have been of the poll before."""
    source = Polling(4)
    worker = _worker(source)
    reading = asyncio.create_task(worker._until_table_is_read(9))
    await source.asked.wait()
    worker.offered()
    source.at = 9
    await asyncio.sleep(0.2)
    assert not reading.done()
    worker.offered()
    await asyncio.wait_for(reading, 5)


async def test_a_lane_that_is_given_up_does_not_wait() -> None:
    """Its revocation goes on."""
    source = Polling(9)
    worker = _worker(source)
    reading = asyncio.create_task(worker._until_table_is_read(9))
    await source.asked.wait()
    worker.abandon()
    await asyncio.wait_for(reading, 5)
