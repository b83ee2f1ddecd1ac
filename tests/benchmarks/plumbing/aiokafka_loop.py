"""A ceiling: the least that can be written with aiokafka. No state, at least once."""

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from tests.benchmarks.plumbing.work import Place, event_of, result_of


async def main() -> None:
    """Until it is killed."""
    place = Place.of_environment()
    consumer = AIOKafkaConsumer(
        place.reviews,
        bootstrap_servers=place.bootstrap_servers,
        group_id=place.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 * 2**20,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=place.bootstrap_servers,
        linger_ms=5,
        acks="all",
        enable_idempotence=True,
        max_batch_size=256 * 2**10,
    )
    async with consumer, producer:
        while True:
            polled = await consumer.getmany(timeout_ms=500, max_records=2000)
            for batch in polled.values():
                for record in batch:
                    result = result_of(event_of(record.value), record.topic, record.partition, record.offset)
                    await producer.send(place.results, result, key=record.key)
            if polled:
                await producer.flush()
                await consumer.commit()


if __name__ == "__main__":
    uvloop.run(main())
