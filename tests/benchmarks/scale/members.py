"""A backlog on 16 partitions, read by so many members of one group, each on a paced engine."""

import asyncio
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from urllib.request import urlopen

import orjson

from deploy.kafka.probe import free_port
from tests.benchmarks.plumbing.field import NO_SUMMARIES, count, load, process
from tests.benchmarks.scale import paced
from tests.benchmarks.scale.looking import Group, Look
from tests.integration.world import World

PARTITIONS = 16
RESTAURANTS = 10_000
"""So many that each member has nearly as many records as the others."""
SETTLE_SECONDS = 5.0
"""From when all members have their partitions until all have committed something, or soon will."""
SHARE_PATIENCE, PATIENCE = 120.0, 1800.0


@dataclass(frozen=True, slots=True)
class Round:
    """What so many members did."""

    records_per_second: float
    cpu_share: float
    """Cores that they used, all together."""


def run(address: str, members: int, records: int, pace: float, prefix: str) -> Round:
    """One round, in topics of its own."""
    world = World(address, prefix, PARTITIONS)
    asyncio.run(world.create())
    load(address, world.settings.topics.reviews, records, RESTAURANTS)
    ports = [free_port() for _ in range(members)]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        more = NO_SUMMARIES | {"STATE_DIR": folder, paced.PACE: str(pace)}
        environments = [world.environment(**more, METRICS_PORT=str(port)) for port in ports]
        running = [stack.enter_context(process((paced.__name__,), one)) for one in environments]
        group = stack.enter_context(closing(Group(world, running)))
        _until_shared(group, ports, world.settings.topics.reviews)
        time.sleep(SETTLE_SECONDS)
        found = between(list(group.looks(records, PATIENCE)))
    if (results := count(address, world.settings.topics.sentiment, PARTITIONS)) != records:
        raise RuntimeError(f"{results:,} results of {records:,} records")
    return found


def between(seen: Sequence[Look]) -> Round:
    """From the first commit that was seen, after the first look, to the last.

    Raises RuntimeError where that leaves less than half of what was to do: such a rate would mean little.
    """
    first = next(look for look in seen if look.records > seen[0].records or look is seen[-1])
    last = seen[-1]
    if 2 * (last.records - first.records) < last.records - seen[0].records or first is last:
        raise RuntimeError("the backlog is too short to see a rate")
    seconds = last.seconds - first.seconds
    return Round((last.records - first.records) / seconds, (last.cpu_seconds - first.cpu_seconds) / seconds)


def shared(shares: Iterable[set[int]], partitions: int) -> bool:
    """Whether everybody has equally many partitions, and somebody each."""
    found = list(shares)
    even = {len(share) for share in found} == {partitions // len(found)}
    return even and set().union(*found) == set(range(partitions))


def _until_shared(group: Group, ports: Sequence[int], topic: str) -> None:
    until, shares = time.monotonic() + SHARE_PATIENCE, list[set[int]]()
    while time.monotonic() < until:
        group.look()
        shares = [_open(port, topic) for port in ports]
        if shared(shares, PARTITIONS):
            return
        time.sleep(0.1)
    raise TimeoutError(f"after {SHARE_PATIENCE:g} s the members have the partitions {shares}")


def _open(port: int, topic: str) -> set[int]:
    """Partitions that a member reads; none while it does not answer yet."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/debug/lanes", timeout=5) as page:
            lanes = orjson.loads(page.read())["lanes"]
    except OSError:
        return set()
    return {lane["partition"] for lane in lanes if lane["topic"] == topic and lane["state"] == "open"}
