"""An answer about committed offsets that is an error as a whole, taken as one.

A broker that has just started says so while it still loads the group: since version 2 of OffsetFetch in a field of its
own, beside an empty list of partitions. aiokafka 0.14 does not look at that field: `committed` returns None, as if the
group had never committed anything. So the coordinator's way to send requests is replaced by one that looks.
"""

from typing import Any

from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import GroupCoordinatorNotAvailableError, NotCoordinatorForGroupError, for_code
from aiokafka.protocol.commit import OffsetFetchRequest

_ELSEWHERE = (GroupCoordinatorNotAvailableError, NotCoordinatorForGroupError)
_send = GroupCoordinator._send_req  # noqa: SLF001 - aiokafka has no public place for it


def heed_offset_errors() -> None:
    """From now on `committed` of every consumer of this process asks again, or raises. Safe to call again."""
    GroupCoordinator._send_req = _send_and_look  # noqa: SLF001 - as above


async def _send_and_look(coordinator: Any, request: Any) -> Any:
    response = await _send(coordinator, request)
    if response.API_KEY == OffsetFetchRequest.API_KEY and (code := getattr(response, "error_code", 0)):
        error = for_code(code)()
        if isinstance(error, _ELSEWHERE):
            coordinator.coordinator_dead()
        raise error
    return response
