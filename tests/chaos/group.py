"""The group's committed offsets, sampled while everything is being killed."""

import asyncio
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from tests.chaos.comparison import Watermarks

_SAMPLE_SECONDS = 0.5
_ANSWER_SECONDS = 5.0


class Group:
    """Looks at one consumer group."""

    def __init__(self, bootstrap_servers: str, group_id: str) -> None:
        self._bootstrap_servers, self._group_id = bootstrap_servers, group_id

    async def sample(self, watermarks: Watermarks) -> None:
        """Take samples until cancelled."""
        while True:
            watermarks.seen(await self.committed())
            await asyncio.sleep(_SAMPLE_SECONDS)

    async def committed(self) -> Mapping[tuple[str, int], int]:
        """(topic, partition) → offset, where one is committed; none while the broker is away or only just there."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await self._committed()
        except Exception:  # noqa: BLE001 - whatever a client says whose broker is killed under it
            return {}

    async def until_at_work(self, topic: str, seconds: float) -> None:
        """Wait until something of the topic is committed. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not any(offset for (name, _), offset in (await self.committed()).items() if name == topic):
                await asyncio.sleep(_SAMPLE_SECONDS)

    async def until_at_end(self, topic: str, partitions: int, seconds: float) -> None:
        """Wait until the committed offsets are at the topic's end. Raises TimeoutError that says what is left."""
        left: dict[int, int] = {}
        try:
            async with asyncio.timeout(seconds):
                ends = await self._ends(topic, partitions)
                while left := self._left(topic, ends, await self.committed()):
                    await asyncio.sleep(_SAMPLE_SECONDS)
        except TimeoutError:
            raise TimeoutError(f"the group had not read {left} (partition: records) {seconds:g} s later") from None

    async def _committed(self) -> dict[tuple[str, int], int]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap_servers)
        await admin.start()
        try:
            found = await admin.list_consumer_group_offsets(self._group_id)
        finally:
            await admin.close()
        return {(tp.topic, tp.partition): known.offset for tp, known in found.items() if known.offset >= 0}

    async def _ends(self, topic: str, partitions: int) -> Mapping[int, int]:
        consumer: Any = AIOKafkaConsumer(bootstrap_servers=self._bootstrap_servers)
        await consumer.start()
        try:
            ends = await consumer.end_offsets([TopicPartition(topic, n) for n in range(partitions)])
            return {tp.partition: end for tp, end in ends.items()}
        finally:
            await consumer.stop()

    @staticmethod
    def _left(topic: str, ends: Mapping[int, int], committed: Mapping[tuple[str, int], int]) -> dict[int, int]:
        """Records before the end, by partition, where there are any."""
        behind = {number: end - committed.get((topic, number), 0) for number, end in ends.items()}
        return {number: records for number, records in behind.items() if records}
