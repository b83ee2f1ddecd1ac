"""A directory a process: found again after a restart, and never two processes' at once, also when one was stopped."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from consumer.errors import ConfigError
from consumer.state_dir import StateDirectory, free_directories
from tests.processes import comes_true

SECONDS = 30.0
_MEMBER = """
import sys
from pathlib import Path
from consumer.state_dir import StateDirectory
directory = StateDirectory(Path(sys.argv[1]), "g")
print(directory.open(), flush=True)
for line in sys.stdin:
    (directory.path / "written").write_text(line)
    print("written", flush=True)
"""


@contextmanager
def member(state_dir: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process of its own that opens a directory, says which, and writes there what it is sent."""
    command = [sys.executable, "-c", _MEMBER, str(state_dir)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            yield process
        finally:
            process.kill()


def said(process: "subprocess.Popen[str]") -> str:
    """The next line that it prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def stopped(pid: int) -> bool:
    """Whether it is (state T in /proc)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def free(state_dir: Path) -> list[str]:
    """Names of the directories that nobody holds."""
    with free_directories(state_dir, "g") as found:
        return [path.name for path in found]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_two_processes_never_share_one_also_after_sigstop_and_sigcont(tmp_path: Path) -> None:
    """A stopped one keeps its own; only its end gives it away, and then the next to come finds it."""
    with member(tmp_path) as first:
        mine = said(first)
        os.kill(first.pid, signal.SIGSTOP)
        assert comes_true(lambda: stopped(first.pid), SECONDS)
        with member(tmp_path) as second:
            other = said(second)
            assert other != mine
            assert free(tmp_path) == []
            os.kill(first.pid, signal.SIGCONT)
            assert first.stdin is not None
            first.stdin.write("still mine\n")
            first.stdin.flush()
            assert said(first) == "written"
            assert (Path(mine) / "written").read_text() == "still mine\n"
            assert not (Path(other) / "written").exists()
            with member(tmp_path) as third:
                assert said(third) not in {mine, other}
            first.kill()
            first.wait(SECONDS)
            with member(tmp_path) as heir:
                assert said(heir) == mine


def test_one_process_finds_its_own_again(tmp_path: Path) -> None:
    """After a restart; and two objects do not share one either."""
    one, two = StateDirectory(tmp_path, "g"), StateDirectory(tmp_path, "g")
    first = one.open()
    assert one.open() == first
    assert two.open() != first
    assert free(tmp_path) == []
    one.close()
    one.close()
    assert free(tmp_path) == [first.name]
    assert StateDirectory(tmp_path, "g").open() == first


def test_groups_do_not_meet(tmp_path: Path) -> None:
    """Whatever their names hold."""
    one, two = StateDirectory(tmp_path, "a/b"), StateDirectory(tmp_path, "a")
    assert one.open().parent != two.open().parent
    assert one.path.parent.parent == tmp_path
    with free_directories(tmp_path, "nobody's") as found:
        assert found == []


def test_held_directories_are_taken_by_nobody_else(tmp_path: Path) -> None:
    """While a command deletes in them a member that starts takes another."""
    StateDirectory(tmp_path, "g").open()
    before = StateDirectory(tmp_path, "g")
    before.open()
    before.close()
    with free_directories(tmp_path, "g") as found:
        starting = StateDirectory(tmp_path, "g")
        assert starting.open() not in found
        starting.close()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """With the setting."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="STATE_DIR="):
        StateDirectory(tmp_path / "file", "g").open()


def test_a_closed_one_has_no_path(tmp_path: Path) -> None:
    """Whoever asks has forgotten to open it."""
    with pytest.raises(ValueError, match="not open"):
        _ = StateDirectory(tmp_path, "g").path
