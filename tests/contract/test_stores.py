"""What every store promises; the one in memory stands for the one on disk in other tests."""

import random
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from consumer.errors import ConfigError
from consumer.store.disk import STALE_SECONDS, SqliteStore
from consumer.store.memory import MemoryStore
from consumer.stream.place import LaneMark, Place
from consumer.stream.state import Changes, RestaurantState, ReviewState, Store, StrengthState

PLACE = Place(LaneMark(10, 2, 4), 17)


class Clock:
    """Seconds since 1970, moved by hand."""

    now = 1_000_000.0

    def __call__(self) -> float:
        """Now."""
        return self.now


def on_disk(path: Path, clock: Clock | None = None) -> SqliteStore:
    """A store in a folder."""
    return SqliteStore(path / "lane.sqlite3", clock or Clock())


@pytest.fixture(params=["memory", "disk"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Each of them, empty."""
    made: Store = MemoryStore() if request.param == "memory" else on_disk(tmp_path)
    yield made
    made.close()


def read(number: int, text: str | None = "t", *, deleted_at: float | None = None) -> ReviewState:
    """A review's state."""
    return ReviewState(number, None, 0, None if deleted_at else b"h", text=text, deleted_at=deleted_at)


def test_an_empty_one_knows_nothing(store: Store) -> None:
    """And stands at the beginning."""
    assert store.place == Place()
    assert (store.restaurant("a"), store.reviews([("a", "1")]).get(("a", "1")), store.pending("a", 9)) == (
        None,
        None,
        [],
    )
    assert list(store.owing()) == []


def test_changes_are_visible_at_once(store: Store) -> None:
    """With the place that they stand at."""
    store.apply(Changes({"a": RestaurantState("a", 1)}, {("a", "1"): read(1), ("b", "1"): read(1)}), PLACE)
    assert store.restaurant("a") == RestaurantState("a", 1)
    assert store.reviews([("a", "1")]).get(("a", "1")) == read(1)
    assert sorted(store.owing()) == ["a", "b"]
    assert store.place == PLACE


def test_many_reviews_are_read_at_once(store: Store) -> None:
    """Those that are there, however many are named, and however often."""
    there = {("a", str(number)): read(number) for number in range(450)}
    store.apply(Changes(reviews=dict(there)), PLACE)
    names = [*there, ("a", "0"), ("b", "0"), ("a", "450")]
    assert store.reviews(names) == there
    assert store.reviews([]) == {}


def test_pending_ones_come_oldest_first_and_edits_last(store: Store) -> None:
    """What has been summarised is not among them."""
    for number in (1, 2, 3):
        store.apply(Changes(reviews={("a", str(number)): read(number)}), PLACE)
    store.apply(Changes(reviews={("a", "1"): read(1, "edited"), ("a", "2"): read(2, None)}), PLACE)
    assert [r.review_id for r in store.pending("a", 9)] == [3, 1]
    assert [r.review_id for r in store.pending("a", 1)] == [3]


def test_what_is_gone_is_forgotten(store: Store) -> None:
    """A key with a null."""
    store.apply(Changes({"a": RestaurantState("a", 1)}, {("a", "1"): read(1)}), PLACE)
    store.apply(Changes({"a": None}, {("a", "1"): None, ("a", "2"): None}), PLACE)
    assert (store.restaurant("a"), store.reviews([("a", "1")]).get(("a", "1")), list(store.owing())) == (None, None, [])


def test_strengths_are_kept_by_group_and_restaurant(store: Store) -> None:
    """A restaurant without a group too; one that left is forgotten, by `clear` as well."""
    one, other = StrengthState(3, 1, "others", 7, "content"), StrengthState(tried=2, failures=5, parked="why")
    store.apply(Changes(strengths={("g", "a"): one, ("", "a"): other, ("g", "b"): one}), PLACE)
    store.apply(Changes(strengths={("g", "b"): None, ("h", "a"): None}), PLACE)
    assert (store.strength("g", "a"), store.strength("", "a"), store.strength("g", "b")) == (one, other, None)
    store.clear()
    assert store.strength("g", "a") is None


def test_old_deletions_are_found_oldest_first(store: Store) -> None:
    """Those only."""
    marks = {("a", str(n)): read(n, None, deleted_at=n) for n in (3, 1, 2, 9)}
    store.apply(Changes(reviews={**marks, ("a", "4"): read(4)}), PLACE)
    assert store.deleted(4, 2) == [("a", "1"), ("a", "2")]
    assert store.deleted(4, 9) == [("a", "1"), ("a", "2"), ("a", "3")]


def test_cleared_it_is_empty(store: Store) -> None:
    """And takes changes again."""
    store.apply(Changes({"a": RestaurantState("a", 1)}), PLACE)
    store.clear()
    assert (store.restaurant("a"), store.place) == (None, Place())
    store.apply(Changes({"a": RestaurantState("a", 2)}), PLACE)
    assert store.restaurant("a") == RestaurantState("a", 2)


def test_both_say_the_same_after_the_same_changes(tmp_path: Path) -> None:
    """Random ones."""
    chance, memory, disk = random.Random(5), MemoryStore(), on_disk(tmp_path)
    for step in range(300):
        changes = Changes()
        for _ in range(chance.randrange(4)):
            key = (chance.choice("ab"), str(chance.randrange(9)))
            kept = read(int(key[1]), chance.choice(["t", None]), deleted_at=chance.choice([step + 1.0, None]))
            changes.reviews[key] = chance.choice([kept, kept, None])
        memory.apply(changes, Place(None, step))
        disk.apply(changes, Place(None, step))
        for restaurant in "ab":
            assert memory.pending(restaurant, 5) == disk.pending(restaurant, 5)
        assert sorted(memory.owing()) == sorted(disk.owing())
        assert memory.deleted(step - 50, 3) == disk.deleted(step - 50, 3)
    disk.close()


def test_the_disk_keeps_it(tmp_path: Path) -> None:
    """Also the queue's order."""
    first = on_disk(tmp_path)
    first.apply(Changes({"a": RestaurantState("a", 1)}, {("a", "2"): read(2)}), PLACE)
    first.apply(Changes(reviews={("a", "1"): read(1)}), PLACE)
    first.close()
    again = on_disk(tmp_path)
    again.apply(Changes(reviews={("a", "0"): read(0)}), PLACE)
    assert again.restaurant("a") == RestaurantState("a", 1)
    assert [r.review_id for r in again.pending("a", 9)] == [2, 1, 0]
    assert again.place == PLACE
    again.close()


def test_a_crash_finds_what_was_flushed(tmp_path: Path) -> None:
    """And nothing of what came after: state and place belong together."""
    store = on_disk(tmp_path)
    store.apply(Changes({"a": RestaurantState("a", 1)}), PLACE)
    store.flush()
    store.apply(Changes({"a": RestaurantState("a", 2)}), Place(None, 99))
    assert store.restaurant("a") == RestaurantState("a", 2)
    another = on_disk(tmp_path)
    assert (another.restaurant("a"), another.place) == (RestaurantState("a", 1), PLACE)
    another.close()
    store.close()


def test_it_is_read_while_a_thread_flushes(tmp_path: Path) -> None:
    """By answers that come meanwhile."""
    store = on_disk(tmp_path)
    with ThreadPoolExecutor(1) as threads:
        for number in range(200):
            store.apply(Changes({"a": RestaurantState("a", number)}, {("a", str(number)): read(number)}), PLACE)
            flushed = threads.submit(store.flush)
            assert store.restaurant("a") == RestaurantState("a", number)
            assert len(store.pending("a", 999)) == number + 1
            flushed.result()
    store.close()


class SlowDisk:
    """A connection whose commits take until they may end; what is called of it, in order."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.called: list[str] = []
        self.begun, self.may_end = threading.Event(), threading.Event()

    def commit(self) -> None:
        """Not before it may end."""
        self.called.append("commit")
        self.begun.set()
        assert self.may_end.wait(10)
        self._connection.commit()
        self.called.append("committed")

    def close(self) -> None:
        """At once."""
        self.called.append("close")
        self._connection.close()


def test_it_is_not_closed_under_a_thread_that_flushes(tmp_path: Path) -> None:
    """A worker that is cancelled ends while the thread goes on."""
    store = on_disk(tmp_path)
    store.apply(Changes({"a": RestaurantState("a", 1)}), PLACE)
    disk = SlowDisk(store._connection)
    store._connection = disk  # type: ignore[assignment]
    with ThreadPoolExecutor(2) as threads:
        flushed = threads.submit(store.flush)
        assert disk.begun.wait(10)
        closed = threads.submit(store.close)
        wait([closed], 0.05)
        disk.may_end.set()
        flushed.result()
        closed.result()
    assert disk.called == ["commit", "committed", "commit", "committed", "close"]


def test_a_change_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    """State and place change together or not at all; the message names the setting."""
    store = on_disk(tmp_path)
    store.apply(Changes({"a": RestaurantState("a", 1)}), PLACE)
    store.flush()
    store._connection.execute("PRAGMA max_page_count = 1")  # as a full disk answers
    large: dict[tuple[str, str], ReviewState | None] = {("a", str(n)): read(n, "x" * 4000) for n in range(200)}
    with pytest.raises(ConfigError, match="STATE_DIR"):
        store.apply(Changes({"a": RestaurantState("a", 2)}, large), Place(None, 99))
    with pytest.raises(ConfigError, match="STATE_DIR"):  # or half of a commit would be written with the next
        store.apply(Changes({"a": RestaurantState("a", 3)}), Place(None, 100))
    store.close()
    again = on_disk(tmp_path)
    assert (again.restaurant("a"), again.place) == (RestaurantState("a", 1), PLACE)
    again.close()


def _damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100:3000] = b"\xff" * 2900
    path.write_bytes(content)


def _format(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


@pytest.mark.parametrize("spoil", [_damage, _format, lambda path: path.write_bytes(b"no database at all" * 100)])
def test_a_useless_file_is_thrown_away(tmp_path: Path, spoil: object) -> None:
    """The changelog is read anew."""
    store = on_disk(tmp_path)
    store.apply(Changes({"a": RestaurantState("a", 1)}), PLACE)
    store.close()
    spoil(tmp_path / "lane.sqlite3")  # type: ignore[operator]
    again = on_disk(tmp_path)
    assert (again.restaurant("a"), again.place) == (None, Place())
    again.close()


def test_an_old_file_is_thrown_away(tmp_path: Path) -> None:
    """Kafka may have dropped tombstones that it has not seen."""
    clock = Clock()
    store = on_disk(tmp_path, clock)
    store.apply(Changes({"a": RestaurantState("a", 1)}), PLACE)
    store.close()
    clock.now += STALE_SECONDS - 1
    young = on_disk(tmp_path, clock)
    assert young.place == PLACE
    young.close()
    clock.now += 2
    old = on_disk(tmp_path, clock)
    assert old.place == Place()
    old.close()


def test_a_folder_that_cannot_be_written_stops_with_a_message(tmp_path: Path) -> None:
    """What and where."""
    (tmp_path / "lane.sqlite3").mkdir()
    with pytest.raises(ConfigError, match=r"STATE_DIR.*lane\.sqlite3"):
        on_disk(tmp_path)
