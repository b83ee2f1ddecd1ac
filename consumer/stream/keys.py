"""One restaurant, one lane: whether a record lies where its restaurant belongs."""

from consumer.errors import ConfigError, DeadLetter
from schemas.topics import KeyPartitioner, partitioner

FIRST_RECORDS = 100
"""When all of so many first records are in the wrong place, the topic is keyed some other way."""


class KeyCheck:
    """Compares key and partition with the restaurant's. One a topic: it remembers how the first records were."""

    def __init__(self, topic: str, kind: KeyPartitioner, partitions: int) -> None:
        self._topic, self._kind, self._partitions = topic, kind, partitions
        self._place = partitioner(kind)
        self._seen = 0
        self._any_right = False

    def check(self, key: bytes | None, partition: int, restaurant: bytes) -> None:
        """Raise DeadLetter("wrong_key"), or ConfigError once the first 100 records were all wrong."""
        problem = self._problem(key, partition, restaurant)
        self._seen += 1
        if problem is None:
            self._any_right = True
            return
        if not self._any_right and self._seen >= FIRST_RECORDS:
            raise ConfigError(
                f"the first {FIRST_RECORDS} records of {self._topic} all have another key or partition than their "
                f"restaurant_id gives by KEY_PARTITIONER={self._kind}: set KEY_PARTITIONER to what the upstream "
                f"uses (murmur2, crc32 or any), or TOPIC_REVIEWS to a new topic and fill that with "
                f"`review-consumer rekey {self._topic}`"
            )
        raise DeadLetter("wrong_key", problem)

    def _problem(self, key: bytes | None, partition: int, restaurant: bytes) -> str | None:
        if key != restaurant:
            return "the record's key is not its restaurant_id as text"
        if self._place is None:
            return None
        right = self._place(restaurant, self._partitions)
        return None if right == partition else f"partition {partition}, but {self._kind} puts this key on {right}"
