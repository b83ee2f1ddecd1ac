"""Who gets which partition: sticky, and even within each topic."""

from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka.coordinator.assignors.sticky.sticky_assignor import (
    StickyAssignmentExecutor,
    StickyAssignorMemberMetadataV1,
    StickyPartitionAssignor,
)
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment


class TopicwiseStickyAssignor(StickyPartitionAssignor):  # type: ignore[misc] # aiokafka is not followed
    """aiokafka's sticky assignor, topic by topic.

    Over all topics at once it may leave every partition of `restaurant.reviews`, the costly ones, with the first member
    and count the cheap by-group partitions of the second as its fair share.
    """

    @classmethod
    def assign(cls, cluster: Any, members: Mapping[str, Any]) -> dict[str, Any]:
        """{member: its partitions}, by the rule of the group protocol."""
        parsed = {member: cls.parse_member_metadata(metadata) for member, metadata in members.items()}
        given: dict[str, list[tuple[str, list[int]]]] = {member: [] for member in members}
        for topic in sorted({topic for metadata in parsed.values() for topic in metadata.subscription}):
            executor = StickyAssignmentExecutor(cluster, _of_topic(topic, parsed))
            executor.perform_initial_assignment()
            executor.balance()
            for member in members:
                given[member].extend(executor.get_final_assignment(member))
        return {member: _assignment(cls.version, partitions) for member, partitions in given.items()}


def sticky_assignor(delivery: str) -> type[TopicwiseStickyAssignor]:
    """An assignor of one consumer's own, named after the delivery mode.

    aiokafka keeps the assignor's state on its class, so two consumers of one process must not share one; and the
    broker refuses a group whose members name different assignors, so modes never mix.
    """
    return type("DeliveryStickyAssignor", (TopicwiseStickyAssignor,), {"name": f"sticky-{delivery}"})


def _of_topic(topic: str, members: Mapping[str, Any]) -> dict[str, Any]:
    """The members as if there were only this topic. All members of a group subscribe to the same ones."""
    return {
        member: StickyAssignorMemberMetadataV1(
            partitions=[p for p in metadata.partitions if p.topic == topic],
            generation=metadata.generation,
            subscription=[topic],
        )
        for member, metadata in members.items()
    }


def _assignment(version: int, partitions: Iterable[tuple[str, list[int]]]) -> Any:
    return ConsumerProtocolMemberAssignment(version, sorted(partitions), b"")
