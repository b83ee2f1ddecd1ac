"""The demo's embedded broker: librdkafka's mock cluster, in this process, by pip alone.

It keeps nothing on disk, makes topics at first use with 4 partitions, and knows no isolation: at least once only.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from producer.errors import CannotGoOn

START_SECONDS = 10.0
ERRORS_ONLY = 3
"""Syslog level: the mock's own notices are no news to whoever runs the demo."""


@contextmanager
def embedded_broker() -> Iterator[str]:
    """Hold a broker of one node and give its address. Raises CannotGoOn where confluent-kafka is missing or fails."""
    try:
        from confluent_kafka import KafkaException, Producer  # noqa: PLC0415 - an extra: only the demo needs it
    except ImportError as error:
        raise CannotGoOn(
            f"the embedded broker needs confluent-kafka ({error}): pip install 'review-consumer[demo]'"
        ) from None
    try:
        handle = Producer({"test.mock.num.brokers": 1, "log_level": ERRORS_ONLY})
        brokers = handle.list_topics(timeout=START_SECONDS).brokers.values()
    except KafkaException as error:
        raise CannotGoOn(f"the embedded broker did not start: {error}") from None
    try:
        yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    finally:
        del handle  # the mock cluster ends with its last reference
