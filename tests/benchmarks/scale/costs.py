"""What a record costs one member, by how many restaurants there are and how long the backlog is.

The member has started and answered WARM records; then it is frozen while the backlog is written, and let go. So its
start does not count, and a short backlog is counted whole.
"""

import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass

from tests.benchmarks.plumbing.field import NO_SUMMARIES, count, load, process
from tests.benchmarks.scale.looking import Group, Look, Process, resident_mb
from tests.integration.world import World

PARTITIONS = 4
WARM = 2_000
WARM_PATIENCE, PATIENCE = 120.0, 3600.0
SESSION_SECONDS = "300"
"""The most that writing a backlog may take, before the group leaves the frozen member out."""
SAY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured: a command, and its settings."""

    command: tuple[str, ...]
    settings: Mapping[str, str]


SUBJECTS = {
    "constant": Subject(("tests.benchmarks.plumbing.ours",), NO_SUMMARIES),
    "local": Subject(
        ("consumer.cli", "run"),
        {name: value for name, value in NO_SUMMARIES.items() if name != "CACHE_MAX_BYTES"} | {"ENGINE": "local"},
    ),
}
"""By the engine; `local` with the result cache that it has by default."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one backlog."""

    restaurants: int
    records: int
    """That were answered."""
    cpu_us_per_record: float
    start_mb: float
    """Resident memory before the backlog."""
    most_mb: float
    """The most until its end, the start included."""


def run(address: str, restaurants: int, records: int, subject: Subject, prefix: str, seconds: float = PATIENCE) -> Cost:
    """A backlog of so many records until its end, or as far as it comes in so many seconds."""
    world = World(address, prefix, PARTITIONS)
    asyncio.run(world.create())
    topics = world.settings.topics
    load(address, topics.reviews, WARM, restaurants)
    with tempfile.TemporaryDirectory() as folder:
        own = {"STATE_DIR": folder, "METRICS_PORT": "0", "KAFKA_SESSION_TIMEOUT_SECONDS": SESSION_SECONDS}
        command, environment = subject.command, world.environment(**subject.settings, **own)
        with process(command, environment) as member, closing(Group(world, [member])) as group:
            for _ in group.looks(WARM, WARM_PATIENCE):
                pass
            with _frozen(member):
                load(address, topics.reviews, records, restaurants, first=WARM)
                first, start_mb = group.look(), resident_mb(member)
            last = _followed(group, member, WARM + records, seconds)
            most_mb = resident_mb(member, most=True)
    if (results := count(address, topics.sentiment, PARTITIONS)) < last.records:
        raise RuntimeError(f"{results:,} results of {last.records:,} records")
    return Cost(restaurants, last.records - first.records, per_record(first, last), start_mb, most_mb)


def per_record(first: Look, last: Look) -> float:
    """Microseconds of processor time. Raises RuntimeError when nothing was done between the two."""
    if last.records <= first.records:
        raise RuntimeError("no record was answered")
    return round(1e6 * (last.cpu_seconds - first.cpu_seconds) / (last.records - first.records), 1)


def _followed(group: Group, member: Process, enough: int, seconds: float) -> Look:
    """The last look; says now and then how it goes."""
    began = said = time.perf_counter()
    for seen in group.looks(enough, PATIENCE):
        if seen.seconds > said + SAY_SECONDS:
            said = seen.seconds
            print(
                f"{said - began:6.0f} s {seen.records:9,} records {resident_mb(member):7.1f} MB",
                file=sys.stderr,
                flush=True,
            )
        if seen.seconds > began + seconds:
            break
    return seen


@contextmanager
def _frozen(member: Process) -> Iterator[None]:
    member.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        member.send_signal(signal.SIGCONT)
