"""`python -m deploy.together`: one ending ends all, signals are passed on, statuses are kept."""

import signal
import subprocess
import sys
import time
import uuid

import pytest

from tests.processes import comes_true, processes_with


def together(*commands: str) -> "subprocess.Popen[str]":
    """Start it."""
    return subprocess.Popen(  # noqa: S603 - our own
        [sys.executable, "-m", "deploy.together", *commands], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def sleeper() -> tuple[str, str]:
    """A command that goes on for long, and a text that only its process has."""
    mark = f"mark-{uuid.uuid4().hex}"
    return f'{sys.executable} -c "import time; time.sleep(300)" {mark}', mark


@pytest.mark.parametrize(("ending", "status"), [("exit 3", 3), ("exit 0", 0), ("kill -9 $$", 137)])
def test_one_ending_ends_all(ending: str, status: int) -> None:
    """With its status; the other is told to end, and is gone."""
    other, mark = sleeper()
    process = together(other, f"sh -c 'sleep 0.5; {ending}'")
    process.communicate(timeout=60)
    assert process.returncode == status
    assert not processes_with(mark)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all(number: signal.Signals) -> None:
    """Both commands end, and the status tells the signal."""
    (one, mark_one), (other, mark_other) = sleeper(), sleeper()
    process = together(one, other)
    assert comes_true(lambda: bool(processes_with(f"sleep(300) {mark_other}")), seconds=30)
    time.sleep(0.2)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert not processes_with(mark_one)
    assert not processes_with(mark_other)


def test_a_command_that_is_not_there() -> None:
    """It is named, and what was started before it ends."""
    other, mark = sleeper()
    process = together(other, "/no/such/command")
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (127, "/no/such/command: No such file or directory\n")
    assert not processes_with(mark)


def test_no_command() -> None:
    """It says how it is called."""
    process = together()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "python -m deploy.together" in said
