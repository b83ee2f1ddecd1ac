"""FastStream with a subscriber of batches, which publishes a batch. It keeps no state."""

import uvloop
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker, KafkaMessage

from tests.benchmarks.plumbing.work import Place, event_of, result_of

PLACE = Place.of_environment()
broker = KafkaBroker(
    PLACE.bootstrap_servers, log_level=50, linger_ms=5, acks="all", enable_idempotence=True, max_batch_size=256 * 2**10
)
app = FastStream(broker)


@broker.subscriber(  # type: ignore[untyped-decorator] # it may not be installed where types are checked
    PLACE.reviews,
    group_id=PLACE.group,
    auto_offset_reset="earliest",
    batch=True,
    max_records=2000,
    ack_policy=AckPolicy.ACK,
    no_reply=True,
)
async def answer(values: list[bytes], message: KafkaMessage) -> None:
    """A partition's records are published together, each batch awaited, then committed."""
    records = message.raw_message
    results = [
        result_of(event_of(value), record.topic, record.partition, record.offset)
        for value, record in zip(values, records, strict=True)
    ]
    await broker.publish_batch(*results, topic=PLACE.results)


if __name__ == "__main__":
    uvloop.run(app.run())
