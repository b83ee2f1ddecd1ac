"""Topics followed for as long as a program runs: through outages, and through partitions that are added."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from producer.errors import CannotGoOn
from producer.kafka.tail import Received, Tail
from schemas.connection import KafkaConnection

log = logging.getLogger(__name__)

POLL_SECONDS = 0.25
CHECK_SECONDS = 10.0
"""How often it is looked whether the broker answers, and whether partitions were added."""
PAUSE_SECONDS = 1.0
"""Between attempts to read on."""
ATTEMPTS = 3
"""Failures in a row at one place after which something there cannot be read: who began at the end goes on from the end,
who needs all of it never gets to stand."""

Take = Callable[[Sequence[Received]], Awaitable[None]]


class Follower:
    """Hands every record to `take`, in order within a partition. `standing` says whether nothing can be missed now."""

    def __init__(self, connection: KafkaConnection, topics: Sequence[str], take: Take, *, from_beginning: bool) -> None:
        self._connection, self._topics, self._take = connection, topics, take
        self._from_beginning = from_beginning
        self._positions: dict[tuple[str, int], int] = {}
        self._tail: Tail | None = None
        self._failures = 0
        self._stopping = asyncio.Event()
        self._current, self._connected = False, False

    @property
    def standing(self) -> bool:
        """Whether the topics are being read, and what lay there at the start is behind us."""
        return self._current and self._connected

    async def start(self) -> None:
        """Connect, and stand at the beginning or the end. Raises CannotGoOn."""
        tail = Tail(self._connection, self._topics, from_beginning=self._from_beginning, resume=self._positions or None)
        await tail.start()
        self._tail, self._connected = tail, True
        self._positions = self._positions or tail.positions()
        self._current = self._current or not self._from_beginning

    async def run(self) -> None:
        """Read until `stop`; a broker that is away is waited for."""
        try:
            while not self._stopping.is_set():
                try:
                    await self._read()
                except CannotGoOn as error:
                    await self._interrupted(error)
        finally:
            await self.close()

    def stop(self) -> None:
        """Let `run` return soon."""
        self._stopping.set()

    async def _read(self) -> None:
        if self._tail is None:
            await self.start()
        now = asyncio.get_running_loop().time
        check = now() + CHECK_SECONDS
        while not self._stopping.is_set():
            await self._records()
            if now() >= check:
                check = now() + CHECK_SECONDS
                if await self._grown():
                    log.info("partitions were added: %s", ", ".join(self._topics))
                    await self.close()
                    return

    async def _records(self) -> None:
        tail = self._connected_tail()
        try:
            records = await tail.records(POLL_SECONDS)
        except CannotGoOn:
            self._failures += 1
            raise
        if records:
            await self._take(records)
            self._positions |= {(r.topic, r.partition): r.offset + 1 for r in records}
            self._failures = 0
        if not self._current:
            self._current = await tail.caught_up()

    async def _grown(self) -> bool:
        return await self._connected_tail().grown()

    def _connected_tail(self) -> Tail:
        if self._tail is None:
            raise CannotGoOn("not connected")
        return self._tail

    async def _interrupted(self, error: CannotGoOn) -> None:
        log.warning("reading %s was interrupted: %s", ", ".join(self._topics), error)
        if self._failures >= ATTEMPTS and not self._from_beginning:
            log.error("reading %s goes on from the end: what lies before cannot be read", ", ".join(self._topics))
            self._positions, self._failures = {}, 0
        await self.close()
        try:
            await asyncio.wait_for(self._stopping.wait(), PAUSE_SECONDS)
        except TimeoutError:
            return

    async def close(self) -> None:
        """Disconnect, bounded; for one that was started and never run."""
        tail, self._tail, self._connected = self._tail, None, False
        if tail is not None:
            await tail.stop()
