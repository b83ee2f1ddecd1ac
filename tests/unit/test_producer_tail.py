"""A reader's end, whatever the library makes of it."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaError

from producer.kafka.tail import Tail
from schemas.connection import KafkaConnection


class Stopped:
    """A consumer whose `stop` ends in its own way."""

    def __init__(self, end: BaseException | None) -> None:
        self._end, self.closed = end, 0
        self._client = SimpleNamespace(close=self._close)

    async def stop(self) -> None:
        """As told."""
        await asyncio.sleep(0)
        if self._end:
            raise self._end

    async def _close(self) -> None:
        self.closed += 1


def tail_of(consumer: Any) -> Tail:
    """A tail that has been started."""
    tail = Tail(KafkaConnection(bootstrap_servers="nowhere:1"), ["t"], from_beginning=False)
    vars(tail)["_consumer"] = consumer
    return tail


@pytest.mark.parametrize("end", [None, KafkaError(), asyncio.CancelledError()])
async def test_its_end_is_not_ours(end: BaseException | None) -> None:
    """A fetch that aiokafka cancels while it closes does not cancel whoever reads on afterwards."""
    consumer = Stopped(end)
    await tail_of(consumer).stop()
    assert consumer.closed == isinstance(end, asyncio.CancelledError)


async def test_our_own_end_is_passed_on() -> None:
    """Who is cancelled while it stops ends."""
    consumer = Stopped(None)
    consumer.stop = asyncio.Event().wait  # type: ignore[method-assign, assignment]
    stopping = asyncio.create_task(tail_of(consumer).stop())
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
