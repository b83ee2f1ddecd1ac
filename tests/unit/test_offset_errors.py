"""A broker that still loads a group is asked again: it must not look as if the group had committed nothing."""

import asyncio
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import GroupAuthorizationFailedError
from aiokafka.protocol.commit import OffsetFetchResponse_v3

from consumer.kafka.offset_errors import heed_offset_errors

PLACE = TopicPartition("t", 3)
LOADING, NOT_AVAILABLE, NOT_COORDINATOR, NOT_ALLOWED = 14, 15, 16, 30
FOUND = OffsetFetchResponse_v3(0, [("t", [(3, 295, "", 0)])], 0)


class Client:
    """Answers what it is told to, one after another."""

    def __init__(self, *answers: Any) -> None:
        self.left = list(answers)

    async def send(self, *_: object, **__: object) -> Any:
        """The next."""
        return self.left.pop(0)


class Asking(GroupCoordinator):  # type: ignore[misc] # aiokafka ships no types
    """aiokafka's coordinator without its tasks."""

    def __init__(self, client: Client) -> None:
        self._client, self.group_id, self._retry_backoff_ms = client, "g", 1
        self.coordinator_id: int | None = 1
        self.found = 0

    async def ensure_coordinator_known(self) -> None:
        """There is one broker."""
        self.found += self.coordinator_id is None
        self.coordinator_id = 1

    def coordinator_dead(self) -> None:
        """Look for it anew."""
        self.coordinator_id = None


@pytest.fixture(autouse=True)
def heeding(monkeypatch: pytest.MonkeyPatch) -> None:
    """For this test alone."""
    monkeypatch.setattr(GroupCoordinator, "_send_req", GroupCoordinator._send_req)
    heed_offset_errors()


def error(code: int) -> Any:
    """As Kafka 4 answers where the whole group is concerned."""
    return OffsetFetchResponse_v3(0, [], code)


@pytest.mark.parametrize(("code", "looks"), [(LOADING, 0), (NOT_AVAILABLE, 1), (NOT_COORDINATOR, 1)])
async def test_it_asks_until_the_group_is_there(code: int, looks: int) -> None:
    """And looks for the coordinator where it may be another broker."""
    coordinator = Asking(Client(error(code), error(code), FOUND))
    async with asyncio.timeout(5):
        found = await coordinator.fetch_committed_offsets([PLACE])
    assert found[PLACE].offset == 295
    assert coordinator.found == 2 * looks


async def test_an_error_that_stays_is_raised() -> None:
    """It is no missing offset."""
    with pytest.raises(GroupAuthorizationFailedError):
        await Asking(Client(error(NOT_ALLOWED))).fetch_committed_offsets([PLACE])


async def test_a_group_without_offsets_has_none() -> None:
    """That is what an empty answer without an error says."""
    answer = OffsetFetchResponse_v3(0, [("t", [(3, -1, "", 0)])], 0)
    assert await Asking(Client(answer)).fetch_committed_offsets([PLACE]) == {}
