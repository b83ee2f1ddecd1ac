"""One run: a broker, members, a feed and turmoil; then calm, a drain, and the comparison."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

from consumer.kafka import admin
from consumer.settings import Delivery
from deploy.kafka.broker import Broker
from deploy.kafka.jars import DEFAULT_CACHE
from deploy.kafka.sources import java_broker
from schemas.base import Sentiment
from schemas.connection import KafkaConnection
from schemas.topics import TopicNames, topic_specs
from tests.chaos import wire
from tests.chaos.comparison import Ledger, Problem, Watermarks, differing_totals
from tests.chaos.crew import Crew
from tests.chaos.feed import Feed
from tests.chaos.group import Group
from tests.chaos.jobs import JobLedger
from tests.chaos.plan import LONG, Pace, plan
from tests.chaos.report import Report
from tests.chaos.traffic import Traffic
from tests.chaos.turmoil import Turmoil

GROUP: Final = "chaos"
STOP_SECONDS: Final = 30.0
"""Until a member must have ended after SIGTERM: its shutdown time-out, a rebalance in which it may be, and more."""
START_SECONDS: Final = 60.0
"""Until the first offset is committed: turmoil begins when there is something to disturb."""
READ_SECONDS: Final = 120.0
LOOK_SECONDS: Final = 3.0
"""Between two looks at whether all jobs are done."""
_OURS: Final = ("KAFKA_", "TOPIC_", "VLLM_", "RETRY_", "CHAOS_")


@dataclass(frozen=True)
class Options:
    """What kind of run."""

    delivery: str
    seconds: float
    seed: int
    pace: Pace = LONG
    rate: float = 250.0
    """Records a second."""
    partitions: int = 6
    drain_seconds: float = 180.0


def accepted_deliveries() -> tuple[str, ...]:
    """The delivery modes that the consumer has."""
    return get_args(Delivery.model_fields["delivery"].annotation)


async def chaos(options: Options, folder: Path, say: Callable[[str], None]) -> Report:
    """Do one run; logs go to `folder`. Raises BrokerFailed or Unavailable where no broker can be had."""
    report = Report(options.delivery, options.seconds, options.seed)
    broker = java_broker(DEFAULT_CACHE)
    try:
        await asyncio.to_thread(broker.start)
        say(f"broker at {broker.bootstrap_servers}, its log: {broker.log_path}")
        await _Run(options, broker, folder, say, report).run()
    finally:
        await asyncio.to_thread(broker.kill)  # its data has been read, and goes
        await asyncio.to_thread(broker.close)
    return report


class _Run:
    def __init__(
        self, options: Options, broker: Broker, folder: Path, say: Callable[[str], None], report: Report
    ) -> None:
        self._options, self._broker, self._say, self._report = options, broker, say, report
        self._servers = broker.bootstrap_servers
        self._names = TopicNames.model_validate({name: f.default for name, f in TopicNames.model_fields.items()})
        self._traffic = Traffic(options.seed)
        self._feed = Feed(self._servers, self._names.reviews, self._traffic, options.rate)
        self._group = Group(self._servers, GROUP)
        self._watermarks = Watermarks()
        self._calm = folder / "calm"
        environment = _environment(options, self._servers, self._calm)
        self._crew = Crew(environment, options.seed, folder, STOP_SECONDS, say)

    async def run(self) -> None:
        connection = KafkaConnection(bootstrap_servers=self._servers)
        await admin.create(connection, topic_specs(self._names, GROUP), self._options.partitions)
        try:
            await self._turmoil()
        finally:
            self._crew.close()
        self._report.rebalances = self._crew.rebalances()
        self._report.own_exits = self._crew.ends.own
        self._report.failures += self._crew.ends.wrong
        if self._watermarks.fallbacks:
            self._report.failures.append(f"committed offsets went back: {'; '.join(self._watermarks.fallbacks[:5])}")
        await self._compare()

    async def _turmoil(self) -> None:
        turmoil = Turmoil(self._crew, self._broker, self._say)
        for _ in range(self._options.pace.members[1]):
            self._crew.start()
        async with asyncio.TaskGroup() as tasks:
            background = [
                tasks.create_task(work) for work in (self._group.sample(self._watermarks), self._crew.watch())
            ]
            feed = tasks.create_task(self._feed.run())
            await self._group.until_at_work(self._names.reviews, START_SECONDS)
            self._say("the group is at work")
            happenings = plan(self._options.seed, self._options.seconds, self._options.pace)
            await asyncio.gather(turmoil.run(happenings), asyncio.sleep(self._options.seconds))
            self._calm.touch()
            self._feed.stop()
            await feed
            self._say(f"calm; {self._feed.acknowledged} records were sent")
            await self._drain()
            await asyncio.gather(*(self._crew.stop(member) for member in self._crew.free()))
            for task in background:
                task.cancel()
        self._report.done = {kind: turmoil.done[kind] for kind in sorted(turmoil.done)}

    async def _drain(self) -> None:
        """The members that came through must finish the work: one that hangs would be hidden by new ones."""
        started = time.monotonic()
        try:
            await self._group.until_at_end(self._names.reviews, self._options.partitions, self._options.drain_seconds)
            self._report.drained_in = time.monotonic() - started
        except TimeoutError as error:
            self._report.failures.append(f"not drained: {error}")
            return
        await self._settle()

    async def _settle(self) -> None:
        """And what they owe then: summaries and strengths, while they are still there to make them."""
        started, owed = time.monotonic(), list[str]()
        while (waited := time.monotonic() - started) < self._options.drain_seconds:
            if not (owed := (await self._jobs()).owed()):
                self._report.settled_in = waited
                return
            await asyncio.sleep(LOOK_SECONDS)
        self._report.failures.append(f"jobs not done: {len(owed)}, such as {'; '.join(owed[:5])}")

    async def _compare(self) -> None:
        ledger = Ledger()
        try:
            await self._enter_input(ledger)
            async for record in self._read(self._names.sentiment):
                ledger.result(wire.result_of(record))
            async for record in self._read(self._names.dlq):
                ledger.letter(wire.letter_of(record))
            self._report.found = ledger.problems()
            if problem := await self._compare_totals(ledger):
                self._report.found.append(problem)
            jobs = await self._jobs()
            self._report.found += jobs.problems()
            self._report.summaries, self._report.strengths = jobs.made
        except (wire.NotReadable, ValueError) as error:
            self._report.failures.append(str(error))
        self._report.records, self._report.results = ledger.records, ledger.results
        self._report.dead_letters = ledger.letters
        self._say(f"dead letters by reason: {dict(ledger.reasons)}")

    async def _enter_input(self, ledger: Ledger) -> None:
        """What lies in the reviews topic is the truth; that it is what was sent is checked beside."""
        times = bytearray(self._traffic.made)
        async for record in self._read(self._names.reviews):
            number, given = wire.input_of(record)
            ledger.enter(given)
            times[number] = min(255, times[number] + 1)
        wrong = len(times) - times.count(1)
        if wrong or self._feed.refused:
            what = f"{times.count(0)} missing, {wrong - times.count(0)} doubled, refused: {self._feed.refused[:5]}"
            self._report.failures.append(f"the input itself is not what was sent: {what}")

    async def _compare_totals(self, ledger: Ledger) -> Problem | None:
        found: dict[bytes, Counter[Sentiment]] = {}
        async for record in self._read(self._names.totals):
            found[record.key] = Counter(wire.totals_of(record))
        return differing_totals(ledger.totals(), found)

    async def _jobs(self) -> JobLedger:
        jobs, names = JobLedger(), self._names
        async for record in self._read(names.totals):
            jobs.totals[record.key] = wire.counts_of(record)
        async for record in self._read(names.summary):
            jobs.summary(record.key, wire.summary_of(record))
        async for record in self._read(names.by_group):
            jobs.members[record.key] = wire.summary_of(record)
        async for record in self._read(names.strength):
            jobs.strength(record.key, wire.strengths_of(record))
        return jobs

    def _read(self, topic: str) -> AsyncIterator[Any]:
        return wire.read_committed(self._servers, topic, self._options.partitions, READ_SECONDS)


def _environment(options: Options, bootstrap_servers: str, calm: Path) -> dict[str, str]:
    """A member's: time-outs as short as they may be, so that much happens; retries that outlast every mood."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return kept | {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "KAFKA_GROUP_ID": GROUP,
        "KAFKA_SESSION_TIMEOUT_SECONDS": "6",
        "KAFKA_REQUEST_TIMEOUT_SECONDS": "15",
        "DELIVERY": options.delivery,
        "REVOKE_DRAIN_SECONDS": "3",
        "SHUTDOWN_TIMEOUT_SECONDS": "10",
        "ENGINE_REQUEST_TIMEOUT_SECONDS": "4",
        "RETRY_MAX_ATTEMPTS": "100",
        "RETRY_BASE_SECONDS": "0.05",
        "RETRY_MAX_SECONDS": "1",
        "SUMMARY_MIN_REVIEWS": "50",
        "SUMMARY_MAX_AGE_SECONDS": "3",
        "JOB_RETRY_SECONDS": "0.5",
        "JOB_RETRY_MAX_SECONDS": "1",
        "JOB_MAX_ATTEMPTS": "100",
        "METRICS_PORT": "0",
        "LOG_FORMAT": "json",
        "CHAOS_CALM": str(calm),
    }
