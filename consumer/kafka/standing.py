"""Where a group and its topics stand, asked from outside: no membership, nothing is changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from consumer.errors import ConfigError, RetryLater
from consumer.kafka.clients import NOT_ALLOWED, client_options, closed, missing_acl, started
from consumer.kafka.offset_errors import heed_offset_errors
from consumer.stream.record import Partition
from schemas.connection import KafkaConnection


@dataclass(frozen=True, slots=True)
class Offsets:
    """Of one partition."""

    beginning: int
    """The first that the topic still holds."""
    end: int
    """Behind the last that a reader of committed records sees now."""
    committed: int | None
    """The group's; None where there is none."""

    @property
    def lag(self) -> int:
        """Records that the group has yet to finish, transactions' markers counted."""
        return max(0, self.end - max(self.committed or 0, self.beginning))


async def offsets(
    connection: KafkaConnection, group_id: str, partitions: Sequence[Partition]
) -> Mapping[Partition, Offsets]:
    """Look them up; bounded by the connection's request time-out. Raises ConfigError, RetryLater."""
    heed_offset_errors()
    consumer = AIOKafkaConsumer(
        **client_options(connection), group_id=group_id, enable_auto_commit=False, isolation_level="read_committed"
    )
    await started(consumer, connection)
    try:
        places = [TopicPartition(*partition) for partition in partitions]
        consumer.assign(places)
        beginnings, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        committed = [await consumer.committed(place) for place in places]
    except NOT_ALLOWED as error:
        raise ConfigError(missing_acl(error)) from None
    except (KafkaError, TimeoutError, OSError) as error:
        raise RetryLater(f"the offsets cannot be read now: {error!r}") from None
    finally:
        await closed(consumer.stop())
    return {
        partition: Offsets(beginnings[place], ends[place], at)
        for partition, place, at in zip(partitions, places, committed, strict=True)
    }
