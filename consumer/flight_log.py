"""What is in flight, and who is suspected, on disk: an engine may take the whole process along when it dies."""

import logging
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson

from consumer.stream.suspects import Known

log = logging.getLogger(__name__)

FILE = "in-flight.sqlite3"
_FORMAT = 1
_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = OFF;
CREATE TABLE IF NOT EXISTS flights (number INTEGER PRIMARY KEY, names BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS suspects (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), known BLOB NOT NULL);
"""


class FlightLog:
    """One row a flight (a micro-batch, or a chunk that is prepared), from before the engine has it until its end.

    It must survive the process, not the host: nothing is forced to the disk, a write costs microseconds. A file that
    cannot be written is named in the log once, and records go on without it: it protects the engine, they need none.
    """

    def __init__(self) -> None:
        self._database: sqlite3.Connection | None = None
        self._failed = False
        self._number = 0

    def open(self, directory: Path) -> tuple[Known, list[str]]:
        """Give the suspects, and what was in flight when the last process ended without closing."""
        file = directory / FILE
        try:
            return self._open(file)
        except (sqlite3.Error, ValueError, TypeError, KeyError) as error:
            log.warning("a damaged file is made anew", extra={"file": str(file), "error": str(error)})
            self._disconnect()
            for name in (FILE, f"{FILE}-wal", f"{FILE}-shm"):
                (directory / name).unlink(missing_ok=True)
        try:
            return self._open(file)
        except sqlite3.Error as error:
            self._fail(error)
            return Known(), []

    def begin(self, names: Sequence[str]) -> int:
        """These are about to be in flight; gives the flight's number."""
        self._number += 1
        self._write(lambda db: db.execute("INSERT INTO flights VALUES (?, ?)", (self._number, orjson.dumps(names))))
        return self._number

    def end(self, flight: int) -> None:
        """All of them were answered, or taken back."""
        self._write(lambda db: db.execute("DELETE FROM flights WHERE number = ?", (flight,)))

    def keep(self, known: Known) -> None:
        """Remember the suspects."""
        row = orjson.dumps({"format": _FORMAT, "known": known})
        self._write(lambda db: db.execute("INSERT OR REPLACE INTO suspects VALUES (1, ?)", (row,)))

    def end_all(self) -> None:
        """Nothing is in flight any more."""
        self._write(lambda db: db.execute("DELETE FROM flights"))

    def close(self) -> None:
        """This end is no engine's doing: nobody is accused of it. Safe to call twice."""
        self.end_all()
        self._disconnect()

    def _open(self, file: Path) -> tuple[Known, list[str]]:
        self._database = sqlite3.connect(file, isolation_level=None)
        self._database.executescript(_SCHEMA)
        rows = self._database.execute("SELECT names FROM flights ORDER BY number").fetchall()
        kept = self._database.execute("SELECT known FROM suspects").fetchone()
        known = _known(kept[0]) if kept else Known()
        return known, [name for (names,) in rows for name in orjson.loads(names)]

    def _write(self, change: Callable[[sqlite3.Connection], object]) -> None:
        if self._database is None or self._failed:
            return
        try:
            change(self._database)
        except sqlite3.Error as error:
            self._fail(error)

    def _fail(self, error: sqlite3.Error) -> None:
        self._failed = True
        log.error("what is in flight cannot be written down; a crash of the process will accuse nobody", exc_info=error)

    def _disconnect(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()


def _known(row: bytes) -> Known:
    """Raises ValueError, TypeError or KeyError where it was written by nobody of this format."""
    document = orjson.loads(row)
    if document["format"] != _FORMAT:
        raise ValueError(f"format {document['format']}, not {_FORMAT}")
    known = document["known"]
    groups = tuple(tuple(map(str, group)) for group in known["groups"])
    return Known(groups, {str(k): int(v) for k, v in known["deaths"].items()}, tuple(map(str, known["killers"])))
