"""A ceiling: the least that can be written with confluent-kafka. No state, at least once."""

from confluent_kafka import Consumer, Producer

from tests.benchmarks.plumbing.work import Place, event_of, result_of


def main() -> None:
    """Until it is killed."""
    place = Place.of_environment()
    common = {"bootstrap.servers": place.bootstrap_servers}
    consumer = Consumer(
        {**common, "group.id": place.group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    )
    producer = Producer(
        {**common, "linger.ms": 5, "enable.idempotence": True, "queue.buffering.max.messages": 1_000_000}
    )
    consumer.subscribe([place.reviews])
    while True:
        records = consumer.consume(2000, 0.5)
        for record in records:
            result = result_of(event_of(record.value()), place.reviews, record.partition() or 0, record.offset() or 0)
            producer.produce(place.results, result, key=record.key())
        if records:
            producer.flush()
            consumer.commit(asynchronous=False)


if __name__ == "__main__":
    main()
