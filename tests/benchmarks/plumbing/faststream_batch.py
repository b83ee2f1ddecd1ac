"""FastStream with a subscriber of batches; each partition's results are published as one. No state, at least once.

It neither validates by type annotations nor decodes JSON: the work does both. Of its policies `NACK_ON_ERROR` loses
nothing: `ACK` also commits what the handler failed to answer.
"""

import asyncio
import logging
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

import uvloop
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker, KafkaPublishMessage

from tests.benchmarks.plumbing.work import Place, event_of, result_of

RECORDS = 2000
BATCH_BYTES = 900 * 2**10
"""Holds the results of RECORDS records, all of one partition, with FastStream's headers; the broker takes 1 MiB."""


async def main() -> None:
    """Until it is killed."""
    place = Place.of_environment()
    broker = KafkaBroker(
        place.bootstrap_servers,
        linger_ms=5,
        acks="all",
        enable_idempotence=True,
        max_batch_size=BATCH_BYTES,
        apply_types=False,
        logger=logging.getLogger(__name__),  # its own writes to standard output, failures too
        log_level=logging.DEBUG,  # of what it says of each batch; failures stay errors
    )
    subscriber = broker.subscriber(
        place.reviews,
        group_id=place.group,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 * 2**20,
        batch=True,
        max_records=RECORDS,
        decoder=_records,
        ack_policy=AckPolicy.NACK_ON_ERROR,
        no_reply=True,
    )

    async def answer(records: Sequence[Any]) -> None:
        """Returns when the broker has all results; then FastStream commits."""
        sent = []
        for partition, batch in groupby(records, attrgetter("partition")):
            results = map(_result, batch)
            sent.append(await broker.publish_batch(*results, topic=place.results, partition=partition, no_confirm=True))
        await asyncio.gather(*sent)

    subscriber(answer)
    await FastStream(broker, logger=None).run()


async def _records(message: Any) -> Sequence[Any]:
    """The client's own, one partition's after the other's."""
    found: Sequence[Any] = message.raw_message
    return found


def _result(record: Any) -> Any:
    result = result_of(event_of(record.value), record.topic, record.partition, record.offset)
    return KafkaPublishMessage(result, key=record.key)


if __name__ == "__main__":
    uvloop.run(main())
