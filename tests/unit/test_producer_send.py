"""Sending: paced, bounded in flight, every bad line reported once."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from producer.errors import CannotGoOn, Refused
from producer.feed import feed
from producer.files import line_count, opened
from producer.kafka.client import Delivery, Place
from producer.pacing import CATCH_UP_SECONDS, Pace
from producer.reading import BadLine, Line, ReviewLine
from producer.send import Transmission
from schemas.headers import Headers


class Landing(Delivery):
    """A delivery that ends when the test says so."""

    def __init__(self, *, refused: bool = False) -> None:
        self._landed = asyncio.Event()
        self._refused = refused

    def land(self) -> None:
        """Acknowledge it."""
        self._landed.set()

    def done(self) -> bool:
        """Whether it was acknowledged."""
        return self._landed.is_set()

    async def place(self) -> Place:
        """Wait for it."""
        await self._landed.wait()
        if self._refused:
            raise Refused("too large")
        return Place(0, 0)


class Sky:
    """Takes events, and keeps them in flight."""

    def __init__(self, *, at_once: bool = True, refuse: frozenset[bytes] = frozenset()) -> None:
        self.sent: list[tuple[str, bytes, bytes, dict[str, bytes]]] = []
        self.flying: list[Landing] = []
        self._at_once, self._refuse = at_once, refuse

    async def send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> Delivery:
        """Take one."""
        if value == b"huge":
            raise Refused("larger than allowed")
        self.sent.append((topic, key, value, dict(headers)))
        landing = Landing(refused=value in self._refuse)
        self.flying.append(landing)
        if self._at_once:
            landing.land()
        return landing


async def these(*lines: Line) -> AsyncIterator[Line]:
    """Yield lines as a feed does."""
    for line in lines:
        yield line


def event(number: int, value: bytes | None = None) -> ReviewLine:
    """Make a good line."""
    return ReviewLine(number, b"k", value or b"v%d" % number)


async def test_good_lines_are_sent_and_bad_ones_reported() -> None:
    """Bad when read, refused when handed over, refused by the broker: each is reported with its line, once."""
    sky, reported = Sky(refuse=frozenset({b"v4"})), list[BadLine]()
    lines = these(event(1), BadLine(2, "no"), event(3, b"huge"), event(4), event(5))
    count = await Transmission(sky, "t", reported.append).send_all(lines)
    assert (count.sent, count.bad) == (2, 3)
    assert reported == [BadLine(2, "no"), BadLine(3, "larger than allowed"), BadLine(4, "too large")]
    assert [value for _, _, value, _ in sky.sent] == [b"v1", b"v4", b"v5"]


async def test_every_event_has_cloud_event_headers_of_its_own() -> None:
    """No two events share an id, not even in two runs over one file; the line can be found by it."""
    sky = Sky()
    for _ in range(2):
        await Transmission(sky, "t", lambda _line: None).send_all(these(event(1), event(2)))
    headers = [headers for _, _, _, headers in sky.sent]
    assert len({found["ce_id"] for found in headers}) == 4
    assert [found["ce_id"].split(b"/")[1:] for found in headers] == [[b"1", b"review"], [b"2", b"review"]] * 2
    assert {found["ce_type"] for found in headers} == {b"restaurant.review.v1"}
    assert {found["ce_source"] for found in headers} == {b"review-producer"}


async def test_no_more_than_the_bound_is_in_flight() -> None:
    """With three unacknowledged the fourth waits, until the oldest is acknowledged."""
    sky = Sky(at_once=False)
    lines = these(*(event(number) for number in range(1, 11)))
    sending = asyncio.create_task(Transmission(sky, "t", lambda _line: None).send_all(lines, in_flight=3))
    await asyncio.sleep(0)
    for acknowledged in range(7):
        await settle()
        assert len(sky.sent) == 4 + acknowledged
        sky.flying[acknowledged].land()
    for landing in sky.flying:
        landing.land()
        await settle()
    assert len(sky.sent) == 10
    for landing in sky.flying:
        landing.land()
    assert (await sending).sent == 10


async def settle() -> None:
    """Let the other task go as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_progress_is_told_of_every_line_that_is_done_with() -> None:
    """Sent or bad."""
    told = list[int]()
    lines = these(event(1), BadLine(2, "no"), event(7))
    await Transmission(Sky(), "t", lambda _line: None, told.append).send_all(lines)
    assert sorted(told) == [1, 2, 7]


async def test_what_stops_everything_is_raised() -> None:
    """A topic that is gone is nothing that the next line could help."""

    class Broken(Sky):
        async def send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> Delivery:
            del key, value, headers
            raise CannotGoOn(f"topic {topic} does not exist")

    with pytest.raises(CannotGoOn, match="topic t does not exist"):
        await Transmission(Broken(), "t", lambda _line: None).send_all(these(event(1)))


def test_pace_spreads_events_evenly() -> None:
    """Four a second: a quarter of a second apart, whatever each took."""
    pace, now = Pace(4, now=100.0), 100.0
    waits = []
    for took in (0.0, 0.1, 0.0, 0.25):
        waits.append(pace.wait(now))
        now += waits[-1] + took
    assert waits == [0.0, 0.25, pytest.approx(0.15), 0.25]


def test_pace_catches_up_a_hold_up_by_one_second_at_most() -> None:
    """After ten seconds of silence not all that was missed comes at once."""
    pace = Pace(10, now=0.0)
    assert pace.wait(0.0) == 0.0
    at_once = 0
    while pace.wait(10.0) == 0.0:
        at_once += 1
    assert at_once == CATCH_UP_SECONDS * 10 + 1


def test_pace_keeps_its_rate_over_time() -> None:
    """1,000 events at 250 a second take four seconds, to the last."""
    pace, now = Pace(250, now=0.0), 0.0
    for _ in range(1001):
        now += pace.wait(now)
    assert now == pytest.approx(4.0)


async def test_the_rate_is_kept_in_real_time() -> None:
    """Twenty events at 200 a second: not before 95 ms."""
    started = time.monotonic()
    lines = these(*(event(number) for number in range(20)))
    await Transmission(Sky(), "t", lambda _line: None).send_all(lines, Pace(200, time.monotonic()))
    assert time.monotonic() - started >= 0.095


async def test_a_feed_gives_all_in_order_and_reads_a_bounded_piece_ahead() -> None:
    """A large file is not taken into memory."""
    read = list[int]()

    def numbers() -> Iterator[int]:
        for number in range(1000):
            read.append(number)
            yield number

    given = list[int]()
    async for number in feed(numbers(), ahead=10):
        given.append(number)
        assert len(read) <= len(given) + 11
    assert given == list(range(1000))


async def test_a_feed_hands_on_the_error_of_what_it_reads() -> None:
    """After the items that came before it."""

    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("disk on fire")

    given = feed(broken())
    assert await anext(given) == 1
    with pytest.raises(ValueError, match="disk on fire"):
        await anext(given)


@pytest.mark.parametrize(("text", "count"), [("", 0), ("a", 1), ("a\n", 1), ("a\nb", 2), ("a\n\n", 2)])
def test_lines_are_counted_for_the_progress_bar(tmp_path: Path, text: str, count: int) -> None:
    """A last line without its end is one."""
    path = tmp_path / "lines"
    path.write_text(text, "utf-8")
    assert line_count(str(path)) == count
    assert line_count("-") is None


def test_a_file_that_cannot_be_read_is_named() -> None:
    """With the system's reason, not a traceback."""
    with pytest.raises(CannotGoOn, match=r"/no/such/file cannot be read: No such file"), opened("/no/such/file"):
        pass
