"""The latest totals, summary and strengths of every restaurant: a sqlite3 file of bounded size, new at each start.

All restaurants of the compacted topics are in it. When the file is full the least recently written restaurants go, and
from then on an unknown restaurant may be one that was forgotten: `complete` is False.
"""

import sqlite3
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from producer.kafka.tail import Received
from schemas.base import WireModel, id_text
from schemas.codec import Undecodable, decode, decode_group_key
from schemas.http import RestaurantLatest
from schemas.results import RestaurantStrengths, RestaurantSummary, SentimentTotals
from schemas.topics import TopicNames

PAGE_BYTES = 4096
FORGET_FRACTION = 16
"""A full view forgets a sixteenth of its restaurants at once."""
LARGEST_FRACTION = 4
"""A result of more than a quarter of the view is left out: any other fits when enough are forgotten."""

_SCHEMA = """
CREATE TABLE latest (topic TEXT, key BLOB, restaurant TEXT, version INTEGER, value BLOB, PRIMARY KEY (topic, key))
WITHOUT ROWID;
CREATE INDEX by_restaurant ON latest (restaurant);
CREATE TABLE written (restaurant TEXT PRIMARY KEY, turn INTEGER) WITHOUT ROWID;
CREATE INDEX by_turn ON written (turn);
"""
_PRAGMAS = ("journal_mode = MEMORY", "synchronous = OFF", "locking_mode = EXCLUSIVE", f"page_size = {PAGE_BYTES}")
"""Nothing in the file outlives the process: it is read again from Kafka."""


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a compacted topic; `value` is None for a tombstone."""

    topic: str
    key: bytes
    restaurant: str
    version: int
    value: bytes | None


class View:
    """Blocks on the disk: to be called in a thread, by one at a time."""

    def __init__(self, names: TopicNames, folder: Path | None, max_bytes: int) -> None:
        self._names = names
        self._models: Mapping[str, type[WireModel]] = {
            names.totals: SentimentTotals,
            names.summary: RestaurantSummary,
            names.strength: RestaurantStrengths,
        }
        self._folder = tempfile.TemporaryDirectory(prefix="review-gateway-", dir=folder)
        self._max_pages = max(16, max_bytes // PAGE_BYTES)
        self._turn = self._known = 0
        """Records taken in so far, and how many restaurants are known: to count them all takes long."""
        self.complete = True
        """Whether nothing was forgotten for want of room."""
        self.unreadable = 0
        self._db = self._opened()

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that make the view."""
        return tuple(self._models)

    def close(self) -> None:
        """Close and delete the file."""
        self._db.close()
        self._folder.cleanup()

    def take(self, records: Iterable[Received]) -> None:
        """Fold records in, in their order; what cannot be read is counted and left out."""
        for record in records:
            try:
                row = self._row(record)
            except Undecodable:
                self.unreadable += 1
            else:
                self._write(row)

    def latest(self, restaurant: str) -> RestaurantLatest | None:
        """What is known of a restaurant, None where that is nothing."""
        found: dict[str, Any] = {}
        query = "SELECT topic, value FROM latest WHERE restaurant = ? ORDER BY version"
        for topic, value in self._db.execute(query, (restaurant,)):
            found[topic] = decode(self._models[topic], value)  # of strengths in several groups the highest version
        if not found:
            return None
        return RestaurantLatest(
            restaurant_id=next(iter(found.values())).restaurant_id,
            totals=found.get(self._names.totals),
            summary=found.get(self._names.summary),
            strengths=found.get(self._names.strength),
        )

    def restaurants(self) -> int:
        """How many are known."""
        return self._known

    def _row(self, record: Received) -> Row:
        key = record.key or b""
        if record.value is None:
            return Row(record.topic, key, self._restaurant(record.topic, key), 0, None)
        if len(record.value) > self._max_pages * PAGE_BYTES // LARGEST_FRACTION:
            raise Undecodable("too_large", "one result would take too much of the view")
        model: Any = decode(self._models[record.topic], record.value)
        version = getattr(model, "version", 0)
        return Row(record.topic, key, id_text(model.restaurant_id), version, record.value)

    def _restaurant(self, topic: str, key: bytes) -> str:
        if topic == self._names.strength:
            return decode_group_key(key)[1]
        return key.decode("utf-8", "replace")

    def _write(self, row: Row) -> None:
        self._turn += 1
        while not self._fitted(row):
            self._forget()

    def _fitted(self, row: Row) -> bool:
        """Write whole, or not at all where the file is full."""
        self._db.execute("BEGIN")
        try:
            more = self._put(row)
            self._db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
            return False
        self._known += more
        return True

    def _put(self, row: Row) -> int:
        """Returns how many restaurants more are known now."""
        if row.value is None:
            self._db.execute("DELETE FROM latest WHERE topic = ? AND key = ?", (row.topic, row.key))
            left = self._db.execute("SELECT 1 FROM latest WHERE restaurant = ? LIMIT 1", (row.restaurant,)).fetchone()
            if left is not None:
                return 0
            return -self._db.execute("DELETE FROM written WHERE restaurant = ?", (row.restaurant,)).rowcount
        values = (row.topic, row.key, row.restaurant, row.version, row.value)
        self._db.execute("REPLACE INTO latest VALUES (?, ?, ?, ?, ?)", values)
        known = (self._turn, row.restaurant)
        if self._db.execute("UPDATE written SET turn = ? WHERE restaurant = ?", known).rowcount:
            return 0
        return self._db.execute("INSERT INTO written (turn, restaurant) VALUES (?, ?)", known).rowcount

    def _forget(self) -> None:
        self.complete = False
        count = max(1, self._known // FORGET_FRACTION)
        query = "SELECT restaurant FROM written ORDER BY turn LIMIT ?"
        oldest = self._db.execute(query, (count,)).fetchall()
        self._db.executemany("DELETE FROM latest WHERE restaurant = ?", oldest)
        self._known -= self._db.executemany("DELETE FROM written WHERE restaurant = ?", oldest).rowcount

    def _opened(self) -> sqlite3.Connection:
        path = Path(self._folder.name) / "view.sqlite3"
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in (*_PRAGMAS, f"max_page_count = {self._max_pages}"):
            db.execute(f"PRAGMA {pragma}").fetchall()
        db.executescript(_SCHEMA)
        return db
