"""What can be seen of a group from outside: how far it has come, its members' processor time and memory."""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer

from tests.benchmarks.plumbing.field import committed
from tests.integration.world import World

LOOK_SECONDS = 0.02

Process = subprocess.Popen[bytes]


@dataclass(frozen=True, slots=True)
class Look:
    """One moment."""

    seconds: float
    """On a clock that never goes back."""
    records: int
    """Committed by the group."""
    cpu_seconds: float
    """Used by all members since they began."""


class Group:
    """The members of a world's group, which are processes of this machine. Linux alone tells what they use."""

    def __init__(self, world: World, members: Sequence[Process]) -> None:
        kafka, delivery = world.settings.kafka, world.settings.delivery
        self._outside = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": delivery.kafka_group_id})
        self._topic, self._partitions = world.settings.topics.reviews, world.partitions
        self._members = members

    def close(self) -> None:
        """Look no more."""
        self._outside.close()

    def look(self) -> Look:
        """The present. Raises RuntimeError when a member has ended."""
        for one in self._members:
            if one.poll() is not None:
                raise RuntimeError(f"a member has ended with status {one.returncode}")
        done = committed(self._outside, self._topic, self._partitions)
        used = sum(cpu_seconds(_told(one, "stat")) for one in self._members)
        return Look(time.perf_counter(), done, used)

    def looks(self, enough: int, patience: float) -> Iterator[Look]:
        """One after the other; the last is the first with `enough` records.

        Raises TimeoutError when it takes longer than `patience` seconds, and as `look`.
        """
        began = time.perf_counter()
        while (seen := self.look()).records < enough:
            if seen.seconds > began + patience:
                raise TimeoutError(f"{seen.records:,} of {enough:,} records were done within {patience:g} s")
            yield seen
            time.sleep(LOOK_SECONDS)
        yield seen


def cpu_seconds(stat: str) -> float:
    """User and system time of a process with all its threads, of the text of /proc/PID/stat (see proc(5))."""
    after_name = stat.rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(process: Process, *, most: bool = False) -> float:
    """Resident memory of a process; the most that it had so far, if asked for that."""
    return round(kib_of(_told(process, "status"), "VmHWM" if most else "VmRSS") / 1024, 1)


def kib_of(status: str, name: str) -> int:
    """A size of the text of /proc/PID/status. Raises ValueError where it is not, as of a process that has ended."""
    for line in status.splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise ValueError(f"no {name}")


def _told(process: Process, name: str) -> str:
    return Path(f"/proc/{process.pid}/{name}").read_text("utf-8")
