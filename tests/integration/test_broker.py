"""The development broker is a real Kafka, survives a restart and never outlives whoever started it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from deploy.kafka.errors import BrokerFailed
from deploy.kafka.jars import DEFAULT_CACHE
from deploy.kafka.sources import External, Kafka, java_broker
from tests.kafka_broker import MakeBroker, MakeTopic, create_topic
from tests.processes import comes_true, processes_with

REPOSITORY = Path(__file__).resolve().parents[2]
STARTS_ONE = """
from pathlib import Path
from deploy.kafka.jars import DEFAULT_CACHE
from deploy.kafka.sources import java_broker
broker = java_broker(DEFAULT_CACHE)
broker.start()
print(broker.data_path, flush=True)
input()
"""


async def test_a_record_comes_back_as_it_was_sent(kafka: Kafka, make_topic: MakeTopic) -> None:
    """Key, value, headers and timestamp make the round trip through the session's broker."""
    topic = await make_topic("round-trip")
    headers = [("ce_id", b"1"), ("empty", b"")]
    await send(
        kafka.bootstrap_servers, topic, "김밥".encode(), b"\x00\xff", headers=headers, timestamp_ms=1_700_000_000_000
    )
    (record,) = await read(kafka.bootstrap_servers, topic, partitions=4)
    assert (record.key, record.value, record.timestamp) == ("김밥".encode(), b"\x00\xff", 1_700_000_000_000)
    assert list(record.headers) == headers


async def test_a_topic_has_the_partitions_and_the_settings_asked_for(kafka: Kafka, make_topic: MakeTopic) -> None:
    """`make_topic` passes both on, and returns when every partition can be written."""
    topic = await make_topic("compacted", partitions=3, config={"cleanup.policy": "compact"})
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    try:
        (described,) = await admin.describe_topics([topic])
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    finally:
        await admin.close()
    assert len(described["partitions"]) == 3
    assert ("cleanup.policy", "compact") in [entry[:2] for entry in answer.resources[0][4]]


async def test_transactions_commit_and_abort(kafka: Kafka, make_topic: MakeTopic) -> None:
    """One node is set up for transactions too: a reader of committed records sees one of the two."""
    topic = await make_topic("transactions", partitions=1)
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, transactional_id=topic)
    await producer.start()
    try:
        for value, end in ((b"aborted", producer.abort_transaction), (b"committed", producer.commit_transaction)):
            await producer.begin_transaction()
            await producer.send_and_wait(topic, value, partition=0)
            await end()
    finally:
        await producer.stop()
    assert [record.value for record in await read(kafka.bootstrap_servers, topic, partitions=1)] == [b"committed"]


async def test_a_topic_that_nobody_created_does_not_appear(kafka: Kafka, topic_prefix: str) -> None:
    """A missing topic is refused, not made up: else `topics check` could never find one missing."""
    if isinstance(kafka, External):
        pytest.skip("a broker that somebody else runs may do as it likes here")
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    try:
        (described,) = await admin.describe_topics([f"{topic_prefix}missing"])
    finally:
        await admin.close()
    unknown_topic_or_partition = 3
    assert described["error_code"] == unknown_topic_or_partition


async def test_records_survive_a_restart_and_a_crash_on_the_same_port(make_broker: MakeBroker) -> None:
    """Stop and start, then kill and start: the same address, the same records, the same log."""
    broker = make_broker()
    address, log = broker.bootstrap_servers, broker.log_path
    await create_topic(address, "kept", 1, {})
    for number, end in enumerate((broker.stop, broker.kill)):
        await send(address, "kept", b"k", str(number).encode())
        end()
        assert not broker.is_running()
        assert processes_with(str(broker.data_path)) == []
        broker.start()
    assert (broker.bootstrap_servers, broker.log_path) == (address, log)
    assert [record.value for record in await read(address, "kept", partitions=1)] == [b"0", b"1"]


async def test_further_settings_win_over_ours(make_broker: MakeBroker) -> None:
    """A line given by a test replaces the same line of the single node's settings: topics appear on first use."""
    broker = make_broker({"auto.create.topics.enable": "true", "num.partitions": "7"})
    await send(broker.bootstrap_servers, "made-up", b"k", b"v")
    (record,) = await read(broker.bootstrap_servers, "made-up", partitions=7)
    assert record.value == b"v"


def test_close_leaves_neither_process_nor_data_but_the_log(make_broker: MakeBroker) -> None:
    """After close nothing runs, the folder is gone, and what the broker said can be read."""
    broker = make_broker()
    data, log = broker.data_path, broker.log_path
    assert len(processes_with(str(data))) == 2  # the warden and its broker: the search below would find them
    broker.close()
    assert processes_with(str(data)) == []
    assert not data.exists()
    assert "Kafka Server started" in log.read_text(encoding="utf-8")


def test_a_setting_that_kafka_refuses_is_named(make_broker: MakeBroker) -> None:
    """The error carries Kafka's own words from the end of its log."""
    with pytest.raises(BrokerFailed, match=r"num\.network\.threads"):
        make_broker({"num.network.threads": "0"})


@pytest.mark.usefixtures("java_kafka")
def test_a_broker_that_cannot_start_leaves_no_process() -> None:
    """With its port taken Kafka ends by itself: the error says why, and nothing is left running."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        broker = java_broker(DEFAULT_CACHE, port=taken.getsockname()[1])
        with pytest.raises(BrokerFailed, match="Address already in use"):
            broker.start()
    assert processes_with(str(broker.data_path)) == []
    broker.close()


@pytest.mark.usefixtures("java_kafka")
@pytest.mark.parametrize("fate", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_parent_leaves_no_broker(fate: signal.Signals) -> None:
    """Whoever started the broker dies at once, with no clean-up of its own: broker and data go with it."""
    parent = subprocess.Popen(  # noqa: S603 - our own interpreter and text
        [sys.executable, "-c", STARTS_ONE], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        data = parent.stdout.readline().strip()
        assert len(processes_with(data)) == 2
        parent.send_signal(fate)
    assert comes_true(lambda: not processes_with(data), seconds=10)
    assert comes_true(lambda: not Path(data).exists(), seconds=10)


def test_a_killed_warden_takes_the_broker_with_it(make_broker: MakeBroker) -> None:
    """Should the warden be killed, the broker does not go on unwatched (Linux; elsewhere `stop` sees to it)."""
    broker = make_broker()
    (warden,) = [line for line in processes_with(str(broker.data_path)) if "warden.py" in line]
    os.kill(int(warden.split()[0]), signal.SIGKILL)
    if sys.platform != "linux":
        broker.stop()
    assert comes_true(lambda: not processes_with(str(broker.data_path)), seconds=10)
    assert not broker.is_running()


async def send(
    address: str,
    topic: str,
    key: bytes,
    value: bytes,
    **further: Any,
) -> None:
    """Send one record (`further`: what else aiokafka's `send` takes) and wait until it is acknowledged."""
    producer = AIOKafkaProducer(bootstrap_servers=address)
    await producer.start()
    try:
        await producer.send_and_wait(topic, value, key, **further)
    finally:
        await producer.stop()


async def read(address: str, topic: str, partitions: int) -> list[Any]:
    """Read the committed records of a topic from its beginning to its present end, a partition after the other."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=address,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        assigned = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(assigned)
        ends = await consumer.end_offsets(assigned)
        records = []
        async with asyncio.timeout(20):
            while [await consumer.position(one) for one in assigned] != [ends[one] for one in assigned]:
                for polled in (await consumer.getmany(timeout_ms=100)).values():
                    records.extend(polled)
        return records
    finally:
        await consumer.stop()
