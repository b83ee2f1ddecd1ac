"""Malformed events among good ones, on a real broker, and what a replay brings back.

By hand: `python -m tests.benchmarks.malformed`; short in the tests.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, TypeVar

from aiokafka import AIOKafkaProducer

from consumer.engines.local.engine import LocalEngine
from consumer.pipeline.exact_run import Plan
from consumer.pipeline.replay import Replay
from consumer.stream.letters import Letter, Selection, read_letter
from schemas.codec import encode_document
from schemas.topics import murmur2_partition
from tests.integration.malformed import Malformed, malformed
from tests.integration.raw_headers import RawHeaders, raw_batch
from tests.integration.world import World

REPLAYED = frozenset({"wrong_key", "invalid_header"})
CHUNK = 500
T = TypeVar("T")
LOOK_SECONDS = 1.0


class Sent(NamedTuple):
    """A record on its way into a partition."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: RawHeaders


@dataclass
class Figures:
    """What came out. `wrong`: what is not as it should be, the first few."""

    letters: int = 0
    results: int = 0
    seconds: float = 0.0
    """From the consumer's start until all were answered."""
    replayed: int = 0
    mended: int = 0
    """Of those replayed, that have a result by now; the others are dead letters again."""
    wrong: list[str] = field(default_factory=list)


async def run_trial(
    world: World, bad_count: int, good_count: int, patience: float = 100.0, say: Callable[[str], None] = lambda _: None
) -> Figures:
    """Send, answer and compare; then replay what may be good by now, twice, answer and compare again."""
    figures = Figures()
    bad = [malformed(number) for number in range(bad_count)]
    await _send(world, _mixed([_bad(world, m) for m in bad], [_good(world, n) for n in range(good_count)]))
    say(f"sent {bad_count} malformed and {good_count} good events")
    figures.seconds = await _answer(world, patience)
    letters = await _letters(world)
    results = Counter(str(result.review_id) for result in await world.results())
    figures.letters, figures.results = letters.total(), results.total()
    good = Counter(f"good-{n}" for n in range(good_count))
    wanted: Counter[tuple[bytes | None, bytes | None, RawHeaders, str]] = Counter(
        (m.key, m.value, tuple(m.headers), m.reason) for m in bad
    )
    figures.wrong += _differences("a letter", wanted, letters)
    figures.wrong += _differences("a result", good, results)
    told = f"{figures.letters} dead letters, {figures.results} results in {figures.seconds:.1f} s"
    say(f"{told}; {len(figures.wrong)} of them not as they should be")
    figures.replayed = await _replay(world, figures)
    await _answer(world, patience)
    mended = Counter(f"bad-{n}" for n, m in enumerate(bad) if m.mended)
    results = Counter(str(result.review_id) for result in await world.results())
    figures.mended = (results - good).total()
    figures.wrong += _differences("a result after the replay", good + mended, results)
    again = Counter(dict(x.headers)["dlq.attempts"] for x in await world.letters())
    figures.wrong += _differences(
        "attempts", Counter({b"1": bad_count, b"2": figures.replayed - mended.total()}), again
    )
    say(f"replayed {figures.replayed}: {figures.mended} have results, {again[b'2']} are dead letters again")
    return figures


async def _replay(world: World, figures: Figures) -> int:
    """Twice, which must make no difference; how many came back, each once."""
    for _ in range(2):
        run = Replay(world.settings, Selection(reasons=REPLAYED), Plan(), lambda *_: None)
        if not await run.run():
            figures.wrong.append("the replay ended early")
    records = await world.read(world.settings.topics.reviews)
    back = Counter(
        (r.key, r.value, r.timestamp) for r in records if any(name == "dlq.attempts" for name, _ in r.headers)
    )
    figures.wrong += [f"came back {times} times: {one}" for one, times in back.items() if times > 1][:5]
    return back.total()


def _good(world: World, number: int) -> Sent:
    key = b"%d" % (number % 97)
    event = {"review_id": f"good-{number}", "restaurant_id": number % 97, "content": f"맛있어요 {number}"}
    return Sent(murmur2_partition(key, world.partitions), key, encode_document(event), [(b"n", b"%d" % number)])


def _bad(world: World, one: Malformed) -> Sent:
    place = murmur2_partition(one.key or b"", world.partitions)
    return Sent((place + one.astray) % world.partitions, one.key, one.value, one.headers)


def _mixed(bad: Sequence[Sent], good: Sequence[Sent]) -> Iterator[Sent]:
    """Bad ones spread evenly among the good ones."""
    rest = iter(good)
    for one in bad:
        yield one
        yield from islice(rest, len(good) // len(bad))
    yield from rest


async def _send(world: World, records: Iterator[Sent]) -> None:
    """In order."""
    lanes: dict[int, list[Sent]] = {}
    for record in records:
        lanes.setdefault(record.partition, []).append(record)
    producer = AIOKafkaProducer(bootstrap_servers=world.settings.kafka.bootstrap_servers, max_batch_size=10_000_000)
    async with producer:
        for number, lane in lanes.items():
            for at in range(0, len(lane), CHUNK):
                batch = raw_batch(producer, [record[1:] for record in lane[at : at + CHUNK]])
                await (await producer.send_batch(batch, world.settings.topics.reviews, partition=number))


async def _answer(world: World, patience: float) -> float:
    """Run a member until the group has committed all that is there; gives the seconds it took."""
    ends: dict[int, int] = {}
    for record in await world.read(world.settings.topics.reviews):
        ends[record.partition] = record.offset + 1
    began = time.monotonic()
    async with world.running(LocalEngine()), asyncio.timeout(patience):
        while await world.committed() < sum(ends.values()):
            await asyncio.sleep(LOOK_SECONDS)
        return time.monotonic() - began


async def _letters(world: World) -> "Counter[tuple[bytes | None, bytes | None, RawHeaders, str]]":
    found = map(read_letter, await world.read(world.settings.topics.dlq))
    return Counter((x.key, x.value, _raw(x), x.reason) for x in found)


def _raw(letter: Letter) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.encode("utf-8", "surrogateescape"), value) for name, value in letter.headers)


def _differences(what: str, wanted: "Counter[T]", found: "Counter[T]") -> list[str]:
    return [
        *(f"{what} is missing: {one}" for one in islice(wanted - found, 5)),
        *(f"{what} too many: {one}" for one in islice(found - wanted, 5)),
    ]
