"""What is in flight, on disk: there after a crash, gone after a good end, and never in the way of a record."""

import os
import sqlite3
from pathlib import Path

import pytest

from consumer.errors import ConfigError
from consumer.flight_log import FILE, FlightLog
from consumer.state_dir import StateDirectory
from consumer.stream.suspects import Known, Suspects

KNOWN = Known((("t/0/1", "t/0/2"), ("한글",)), {"한글": 2}, ("t/0/9",))


def crashed(log: FlightLog) -> None:
    """As the process's end does it: without a word."""
    log._disconnect()


def found(directory: Path) -> tuple[Known, list[str]]:
    """What the next process finds; it crashes as well."""
    log = FlightLog()
    known = log.open(directory)
    crashed(log)
    return known


def test_what_was_in_flight_at_a_crash_is_found(tmp_path: Path) -> None:
    """But not what had ended; nothing is closed here."""
    log = FlightLog()
    assert log.open(tmp_path) == (Known(), [])
    log.begin(["a", "b"])
    ended = log.begin(["c"])
    log.begin(["d"])
    log.end(ended)
    log.keep(KNOWN)
    crashed(log)
    assert found(tmp_path) == (KNOWN, ["a", "b", "d"])


def test_a_good_end_accuses_nobody_and_keeps_the_suspects(tmp_path: Path) -> None:
    """Whatever was in flight."""
    log = FlightLog()
    log.open(tmp_path)
    log.begin(["a"])
    log.keep(KNOWN)
    log.close()
    log.close()
    assert found(tmp_path) == (KNOWN, [])


def test_suspects_come_back_as_they_were(tmp_path: Path) -> None:
    """With their groups, counts and convicts."""
    suspects = Suspects()
    for names in (["a", "b", "c"], ["d"], ["e"], ["e"], ["e"]):
        suspects.died(names)
    log = FlightLog()
    log.open(tmp_path)
    log.keep(suspects.known())
    log.close()
    known, _ = found(tmp_path)
    assert Suspects(known).known() == suspects.known()


@pytest.mark.parametrize("content", [b"", b"no database at all" * 1000])
def test_a_damaged_file_is_made_anew(tmp_path: Path, content: bytes) -> None:
    """It loses suspicions, nothing else."""
    (tmp_path / FILE).write_bytes(content)
    log = FlightLog()
    assert log.open(tmp_path) == (Known(), [])
    log.begin(["a"])
    crashed(log)
    assert found(tmp_path)[1] == ["a"]


@pytest.mark.parametrize("row", [b"{}", b'{"format":2,"known":{}}', b'{"format":1,"known":{"groups":1}}', b"["])
def test_what_nobody_of_this_format_wrote_is_made_anew(tmp_path: Path, row: bytes) -> None:
    """Another version's, or a hand's."""
    found(tmp_path)
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute("INSERT INTO suspects VALUES (1, ?)", (row,))
    database.close()
    assert found(tmp_path) == (Known(), [])


def test_a_file_that_cannot_be_written_stops_no_record(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once."""
    log = FlightLog()
    log.open(tmp_path)
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute("DROP TABLE flights")
    database.close()
    for _ in range(3):
        log.end(log.begin(["a"]))
    log.close()
    assert len(caplog.records) == 1


def test_each_process_has_a_directory_of_its_own(tmp_path: Path) -> None:
    """And finds it again when it is free."""
    one, two, three = (StateDirectory(tmp_path, "my group/1") for _ in range(3))
    assert one.open() == one.open() == one.path == tmp_path / "my%20group%2F1" / "0"
    assert two.open() == tmp_path / "my%20group%2F1" / "1"
    assert StateDirectory(tmp_path, "other").open() == tmp_path / "other" / "0"
    one.close()
    one.close()
    assert three.open().name == "0"
    with pytest.raises(ValueError, match="not open"):
        _ = one.path
    two.close()
    three.close()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """With the setting."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"STATE_DIR=.*file.*may write"):
        StateDirectory(tmp_path / "file", "group").open()


def test_a_lock_that_the_file_system_refuses_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network file systems have none; the descriptor is given back."""

    def refuse(*_: object) -> None:
        raise OSError(95, os.strerror(95))

    before = len(list(Path("/dev/fd").iterdir()))
    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(ConfigError, match="STATE_DIR"):
        StateDirectory(tmp_path, "group").open()
    assert len(list(Path("/dev/fd").iterdir())) == before
