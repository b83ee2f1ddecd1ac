"""`review-producer demo`: embedded broker, the consumer as its own process, the sample through both, a table."""

import asyncio
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from producer.board import Board
from producer.embedded import embedded_broker
from producer.feed import feed
from producer.kafka.client import Sender
from producer.kafka.tail import Received, Tail, committed_records
from producer.reading import BadLine
from producer.sample import Sample
from producer.send import Transmission
from producer.service import COMMAND, ConsumerProcess
from producer.settings import Settings, child_environment, embedded
from producer.tally import Tally, unfinished
from producer.watch import result_topics
from schemas.topics import TopicNames, topic_specs

GROUP_ID = "review-consumer-demo"
SETTLE_SECONDS = 50.0
"""Bound on waiting for the results, unless the caller has more patience."""
STOP_SECONDS = 35.0
POLL_SECONDS = 0.25

Say = Callable[[str], None]


@dataclass(slots=True)
class Outcome:
    """How the demo went. `complaints` is empty when all is well."""

    board: Board
    tally: Tally
    read: int
    seconds: float
    complaints: list[str]
    log_tail: str


async def demo(sample: Sample, say: Say, command: Sequence[str] = COMMAND, patience: float = SETTLE_SECONDS) -> Outcome:
    """Run it all. Raises CannotGoOn where the broker or the consumer fails; nothing is left running, on SIGTERM too."""
    started = time.monotonic()
    _cancel_on_sigterm()
    with embedded_broker() as address, tempfile.TemporaryDirectory(prefix="review-demo-") as scratch:
        settings = embedded(address)
        consumer = ConsumerProcess(_environment(address, scratch), Path(scratch) / "consumer.log", command)
        run = _Run(settings, say)
        sender = Sender(settings.kafka)
        try:
            await sender.start()
            await sender.touch(spec.name for spec in topic_specs(settings.topics, GROUP_ID))
            await run.tail.start()
            await consumer.start()
            await run.send(sender, sample)
            await run.follow(consumer, patience)
            status = await consumer.stop(STOP_SECONDS)
            await run.drain()
            read = await committed_records(settings.kafka, GROUP_ID, settings.topics.reviews)
        finally:
            await consumer.stop(STOP_SECONDS)
            await run.tail.stop()
            await sender.stop()
        complaints = [*run.tally.complaints(read), *_ended(status), *_missing(run.board, patience)]
        return Outcome(run.board, run.tally, read, time.monotonic() - started, complaints, consumer.log_tail())


class _Run:
    """What has been sent and what has come back."""

    def __init__(self, settings: Settings, say: Say) -> None:
        self.board, self.tally = Board(settings.topics), Tally()
        self._topics: TopicNames = settings.topics
        topics = (*result_topics(settings.topics), settings.topics.dlq)
        self.tail = Tail(settings.kafka, topics, from_beginning=True)
        self._say = say

    async def send(self, sender: Sender, sample: Sample) -> None:
        transmission = Transmission(sender, self._topics.reviews, self._refused)
        count = await transmission.send_all(feed(iter(sample.lines)))
        self.tally.sent = count.sent

    async def follow(self, consumer: ConsumerProcess, patience: float) -> None:
        """Read until all is answered and the results have settled, or the time is over."""
        now = asyncio.get_running_loop().time
        self.tally.last_job = end = now()
        end += patience
        while now() < end and not self.tally.settled(self.board, now()):
            consumer.require_running()
            self._take(await self.tail.records(POLL_SECONDS), now())
            self._say(f"{self.tally.accounted} of {self.tally.sent} answered, {_finished(self.board)} summarised")

    async def drain(self) -> None:
        """Read what is left, the consumer being gone."""
        while received := await self.tail.records(POLL_SECONDS):
            self._take(received, 0.0)

    def _take(self, received: list[Received], now: float) -> None:
        for record in received:
            self.board.take(record.topic, record.key, record.value)
            if record.topic == self._topics.sentiment:
                self.tally.answer(record.header("ce_id"))
            elif record.topic == self._topics.dlq:
                self.tally.dead_letter(record.header("dlq.source"))
            elif record.topic in (self._topics.summary, self._topics.strength):
                self.tally.last_job = now

    def _refused(self, line: BadLine) -> None:
        self._say(f"line {line.number} was not sent: {line.reason}")


def _cancel_on_sigterm() -> None:
    """End as on SIGINT: by cancellation, so that the consumer does not outlive the demo."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def _environment(address: str, scratch: str) -> dict[str, str]:
    """The consumer's settings: this broker whatever the environment says, quick summaries, the local engine."""
    changes = {
        "KAFKA_BOOTSTRAP_SERVERS": address,
        "KAFKA_GROUP_ID": GROUP_ID,
        "DELIVERY": "at_least_once",
        "KEY_PARTITIONER": "murmur2",
        "SUMMARY_MAX_AGE_SECONDS": "2",
        "METRICS_PORT": "0",
        "STATE_DIR": scratch,
        "LOG_LEVEL": "INFO",
        "LOG_FORMAT": "human",
    }
    return child_environment("KAFKA_", changes, {"ENGINE": "local"})


def _finished(board: Board) -> str:
    return f"{sum(row.summary is not None for row in board.rows.values())} of {len(board.rows)} restaurants"


def _ended(status: int) -> list[str]:
    return [] if status == 0 else [f"the consumer ended with status {status} after SIGTERM, 0 is expected"]


def _missing(board: Board, patience: float) -> list[str]:
    left = unfinished(board)
    return [f"no summary or no strengths within {patience:g} s for {', '.join(left)}"] if left else []
