"""The last value of each key of a changelog, which may hold many: on disk, in a file that nobody else sees."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from consumer.errors import ConfigError
from consumer.stream.changelog import Entry
from consumer.stream.record import Partition

CACHE_KIB = 32 * 1024
"""Memory that the file may take, however many keys there are."""
_TABLE = """
CREATE TABLE latest (
    topic TEXT, partition INTEGER, key BLOB, value BLOB, number INTEGER, PRIMARY KEY (topic, partition, key)
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class Latest:
    """One key and what it is now."""

    lane: Partition
    """Whose changelog it is from."""
    key: bytes
    value: bytes
    number: int
    """Rises with the order in which they were written."""


class LatestValues:
    """Takes a changelog's records in order, and holds of each key the last value; a tombstone takes the key out."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("")  # a temporary file, gone when it is closed, however the process ends
        self._connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._connection.execute("PRAGMA journal_mode = OFF")  # nobody reads it after an error
        self._connection.execute(_TABLE)
        self._number = 0

    def close(self) -> None:
        """Let go of the file; safe to call twice."""
        self._connection.close()

    def take(self, lane: Partition, records: Sequence[Entry]) -> None:
        """Take in records that follow those before. Raises ConfigError where the disk is full."""
        rows = [
            (*lane, key, value, number)
            for number, (key, value) in enumerate(records, self._number)
            if value is not None
        ]
        self._number += len(records)
        last = dict(records)
        gone = [(*lane, key) for key, value in last.items() if value is None]
        try:
            self._connection.executemany("INSERT OR REPLACE INTO latest VALUES (?, ?, ?, ?, ?)", rows)
            self._connection.executemany("DELETE FROM latest WHERE topic = ? AND partition = ? AND key = ?", gone)
        except sqlite3.Error as error:
            raise ConfigError(f"the temporary folder (TMPDIR) has no room for the state: {error}") from None

    def count(self, lane: Partition) -> int:
        """Keys of a lane."""
        query = "SELECT COUNT(*) FROM latest WHERE topic = ? AND partition = ?"
        return int(self._connection.execute(query, lane).fetchone()[0])

    def get(self, lane: Partition, key: bytes) -> bytes | None:
        """The value of one key."""
        query = "SELECT value FROM latest WHERE topic = ? AND partition = ? AND key = ?"
        row = self._connection.execute(query, (*lane, key)).fetchone()
        return row[0] if row else None

    def keys(self, lane: Partition, after: bytes, limit: int) -> list[bytes]:
        """At most `limit` keys of a lane behind this one, in order."""
        query = "SELECT key FROM latest WHERE topic = ? AND partition = ? AND key > ? ORDER BY key LIMIT ?"
        return [row[0] for row in self._connection.execute(query, (*lane, after, limit))]

    def of(self, lane: Partition) -> Iterator[Latest]:
        """All of a lane, by key."""
        query = "SELECT key, value, number FROM latest WHERE topic = ? AND partition = ? ORDER BY key"
        for key, value, number in self._connection.execute(query, lane):
            yield Latest(lane, key, value, number)
