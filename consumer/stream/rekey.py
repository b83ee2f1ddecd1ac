"""What becomes of a record of a topic that is keyed some other way: its copy where its restaurant belongs."""

from consumer.errors import DeadLetter
from consumer.stream.record import Output, Record, check_header_names
from schemas.codec import Undecodable, decode_review, restaurant_key
from schemas.topics import KeyPartitioner, murmur2_partition, partitioner


class Rekeying:
    """Makes copies for `topic` with its number of partitions. Where any partition will do, murmur2 chooses."""

    def __init__(self, topic: str, kind: KeyPartitioner, partitions: int) -> None:
        self._topic, self._partitions = topic, partitions
        self._place = partitioner(kind) or murmur2_partition

    def copy(self, record: Record) -> Output:
        """The record under its restaurant's key; value, headers and timestamp as they came.

        Raises DeadLetter where it does not say which restaurant it is about, or is no review event otherwise.
        """
        check_header_names(record)
        try:
            key = restaurant_key(decode_review(record.value).event.restaurant_id)
        except Undecodable as error:
            raise DeadLetter(error.reason, str(error)) from None
        timestamp = record.timestamp if record.timestamp >= 0 else None  # -1: the oldest format has none
        return Output(
            self._topic, key, record.value, self._place(key, self._partitions), tuple(record.headers), timestamp
        )
