"""A lane's state in one sqlite3 file: it and its place in the changelog change in one commit.

The changelog is the truth. A file that is damaged, of another format, or too old to have seen every tombstone is thrown
away and read anew.
"""

import contextlib
import logging
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from itertools import chain
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from pydantic import TypeAdapter, ValidationError

from consumer.errors import ConfigError
from consumer.stream.changelog import (
    RESTAURANT,
    REVIEW,
    STRENGTH,
    decode_restaurant,
    decode_review,
    decode_strength,
    encoded,
)
from consumer.stream.place import Place
from consumer.stream.record import Partition
from consumer.stream.state import Changes, RestaurantState, ReviewState, StrengthState
from schemas.topics import DELETE_RETENTION_SECONDS

log = logging.getLogger(__name__)

SCHEMA = 3
"""Of the file: another one is thrown away."""
STALE_SECONDS = DELETE_RETENTION_SECONDS / 2
"""Half of the time that Kafka keeps the changelog's tombstones: an older file may have missed some."""
CACHED_RESTAURANTS = 10_000
"""Decoded states kept in memory: busy restaurants come again and again."""

READ_AT_ONCE = 200
"""Reviews of one query."""

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="SqliteStore")

_PLACE = TypeAdapter(Place)
_REVIEWS = """
WITH named (restaurant, review) AS (VALUES {values})
SELECT reviews.restaurant, reviews.review, state FROM named CROSS JOIN reviews USING (restaurant, review)
"""
_PUT_REVIEW = "INSERT OR REPLACE INTO reviews (restaurant, review, state, pending, deleted_at) VALUES (?, ?, ?, ?, ?)"
_TABLES = """
CREATE TABLE place (one INTEGER PRIMARY KEY CHECK (one = 1), place BLOB NOT NULL, saved_at REAL NOT NULL);
CREATE TABLE restaurants (restaurant TEXT PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE reviews (
    turn INTEGER PRIMARY KEY, restaurant TEXT NOT NULL, review TEXT NOT NULL, state BLOB NOT NULL,
    pending INTEGER, deleted_at REAL, UNIQUE (restaurant, review)
);
CREATE TABLE strengths (
    comparison_group TEXT NOT NULL, restaurant TEXT NOT NULL, state BLOB NOT NULL,
    PRIMARY KEY (comparison_group, restaurant)
) WITHOUT ROWID;
CREATE INDEX pending ON reviews (restaurant) WHERE pending IS NOT NULL;
CREATE INDEX deleted ON reviews (deleted_at) WHERE deleted_at IS NOT NULL;
"""
"""A review that is written gets the highest turn: its row lies behind all others, in the order that they came or were
edited. So what a commit writes lies together; under (restaurant, review) each row would write a page of its own.
"""


def store_file(directory: Path, lane: Partition) -> Path:
    """Where the state of a lane lies in a member's directory."""
    return directory / f"{lane.topic}.{lane.partition}.sqlite3"


def remove_store(file: Path) -> bool:
    """Delete a store that nobody has open; says whether there was one. Raises OSError."""
    there = file.exists()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)
    return there


def _one_at_a_time(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    @wraps(method)
    def locked(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.lock:
            return method(self, *args, **kwargs)

    return locked


class SqliteStore:
    """The store's contract on disk. A read takes microseconds, a commit a few milliseconds.

    What is applied lies in an open transaction until the next `flush`, which may be called in a thread: who reads or
    writes meanwhile waits for it.
    """

    def __init__(self, path: Path, wall: Callable[[], float]) -> None:
        """`wall`: seconds since 1970. Raises ConfigError where the file cannot be written at all."""
        self._path, self._wall = path, wall
        self.lock = threading.RLock()
        """Held by whoever reads or writes."""
        self._cache: OrderedDict[str, RestaurantState | None] = OrderedDict()
        self._connection = self._opened()
        self.place = self._read_place()
        """Where the state stands in its changelog."""

    @_one_at_a_time
    def close(self) -> None:
        """Keep what was applied, and let go of the file; safe to call twice."""
        with contextlib.suppress(sqlite3.Error):  # what cannot be kept is read from the changelog
            self._connection.commit()
        self._connection.close()

    @property
    def size(self) -> int:
        """Bytes on disk, of the file and its log."""
        parts = (Path(f"{self._path}{suffix}") for suffix in ("", "-wal"))
        return sum(part.stat().st_size for part in parts if part.exists())

    @_one_at_a_time
    def clear(self) -> None:
        """Forget everything: it is read from the changelog anew."""
        self._connection.close()
        remove_store(self._path)
        self.__init__(self._path, self._wall)  # type: ignore[misc] # an empty store is a new one

    @_one_at_a_time
    def restaurant(self, restaurant: str) -> RestaurantState | None:
        """State of a restaurant, if any."""
        if restaurant in self._cache:
            self._cache.move_to_end(restaurant)
            return self._cache[restaurant]
        row = self._connection.execute("SELECT state FROM restaurants WHERE restaurant = ?", (restaurant,)).fetchone()
        return self._remember(restaurant, decode_restaurant(row[0]) if row else None)

    @_one_at_a_time
    def reviews(self, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], ReviewState]:
        """States of many reviews, by restaurant and review; those that there are. One query for many costs a third."""
        rows: list[tuple[str, str, bytes]] = []
        for at in range(0, len(names), READ_AT_ONCE):
            some = names[at : at + READ_AT_ONCE]
            query = _REVIEWS.format(values=",".join(["(?,?)"] * len(some)))
            rows.extend(self._connection.execute(query, list(chain.from_iterable(some))))
        return {(restaurant, review): decode_review(state) for restaurant, review, state in rows}

    @_one_at_a_time
    def pending(self, restaurant: str, limit: int) -> list[ReviewState]:
        """At most `limit` reviews that no summary has read, oldest first."""
        query = "SELECT state FROM reviews WHERE restaurant = ? AND pending IS NOT NULL ORDER BY turn LIMIT ?"
        return [decode_review(row[0]) for row in self._connection.execute(query, (restaurant, limit))]

    @_one_at_a_time
    def strength(self, group: str, restaurant: str) -> StrengthState | None:
        """What a member's last strengths came from, if anything is known of it."""
        query = "SELECT state FROM strengths WHERE comparison_group = ? AND restaurant = ?"
        row = self._connection.execute(query, (group, restaurant)).fetchone()
        return decode_strength(row[0]) if row else None

    @_one_at_a_time
    def owing(self) -> Iterable[str]:
        """Restaurants with pending reviews."""
        query = "SELECT DISTINCT restaurant FROM reviews WHERE pending IS NOT NULL"
        return [row[0] for row in self._connection.execute(query)]

    @_one_at_a_time
    def deleted(self, before: float, limit: int) -> list[tuple[str, str]]:
        """At most `limit` (restaurant, review) deleted before that (seconds since 1970, as folded), oldest first."""
        query = "SELECT restaurant, review FROM reviews WHERE deleted_at < ? ORDER BY deleted_at LIMIT ?"
        return [(row[0], row[1]) for row in self._connection.execute(query, (before, limit))]

    @_one_at_a_time
    def apply(self, changes: Changes, place: Place) -> None:
        """Make a commit's changes visible, all at once, and remember where that stands. ConfigError: disk full."""
        with self._kept():
            self._put_restaurants(changes)
            self._put_reviews(changes)
            self._put_strengths(changes)
            row = (_PLACE.dump_json(place), self._wall())
            self._connection.execute("INSERT OR REPLACE INTO place VALUES (1, ?, ?)", row)
        for restaurant, state in changes.restaurants.items():
            self._remember(restaurant, state)
        self.place = place

    @_one_at_a_time
    def flush(self) -> None:
        """Write down what was applied since the last time. ConfigError: disk full."""
        with self._kept():
            self._connection.commit()

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        """Half of a commit must never be written: what fails ends the transaction, and the store."""
        try:
            yield
        except sqlite3.Error as error:
            self._connection.close()
            raise self._unusable(error) from None

    def _put_restaurants(self, changes: Changes) -> None:
        kept = [(key, encoded(changes, RESTAURANT, key, state)) for key, state in changes.restaurants.items() if state]
        gone = [(key,) for key, state in changes.restaurants.items() if state is None]
        self._connection.executemany("INSERT OR REPLACE INTO restaurants VALUES (?, ?)", kept)
        self._connection.executemany("DELETE FROM restaurants WHERE restaurant = ?", gone)

    def _put_reviews(self, changes: Changes) -> None:
        kept = [
            (*key, encoded(changes, REVIEW, key, state), None if state.text is None else 1, state.deleted_at)
            for key, state in changes.reviews.items()
            if state
        ]
        gone = [key for key, state in changes.reviews.items() if state is None]
        self._connection.executemany(_PUT_REVIEW, kept)
        self._connection.executemany("DELETE FROM reviews WHERE restaurant = ? AND review = ?", gone)

    def _put_strengths(self, changes: Changes) -> None:
        kept = [(*key, encoded(changes, STRENGTH, key, state)) for key, state in changes.strengths.items() if state]
        gone = [key for key, state in changes.strengths.items() if state is None]
        self._connection.executemany("INSERT OR REPLACE INTO strengths VALUES (?, ?, ?)", kept)
        self._connection.executemany("DELETE FROM strengths WHERE comparison_group = ? AND restaurant = ?", gone)

    def _remember(self, restaurant: str, state: RestaurantState | None) -> RestaurantState | None:
        self._cache[restaurant] = state
        self._cache.move_to_end(restaurant)
        if len(self._cache) > CACHED_RESTAURANTS:
            self._cache.popitem(last=False)
        return state

    def _opened(self) -> sqlite3.Connection:
        """The file, or an empty one where it is of no use."""
        try:
            with self._described():
                return self._usable()
        except (sqlite3.DatabaseError, ValidationError) as error:
            log.warning("a local store is thrown away", extra={"file": str(self._path), "error": str(error)})
            remove_store(self._path)
        with self._described():
            return self._usable()

    def _usable(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level="IMMEDIATE", check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(
                "PRAGMA synchronous = NORMAL"
            )  # survives a crash of the system, but for the last commits
            self._check(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check(self, connection: sqlite3.Connection) -> None:
        """Raise DatabaseError where the file is damaged, of another format or too old; make the tables of a new one."""
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;")
        elif version != SCHEMA:
            raise sqlite3.DatabaseError(f"its format is {version}, not {SCHEMA}")
        if (found := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(found)
        row = connection.execute("SELECT place, saved_at FROM place").fetchone()
        if row is not None:
            _PLACE.validate_json(row[0])
            if self._wall() - row[1] > STALE_SECONDS:
                raise sqlite3.DatabaseError(f"it was last written {self._wall() - row[1]:.0f} s ago")

    @contextlib.contextmanager
    def _described(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise self._unusable(error) from None

    def _unusable(self, error: Exception) -> ConfigError:
        return ConfigError(f"STATE_DIR: {self._path} cannot be written: {error}; give it room, or delete it")

    def _read_place(self) -> Place:
        row = self._connection.execute("SELECT place FROM place").fetchone()
        return _PLACE.validate_json(row[0]) if row else Place()
