"""`python -m deploy.kafka`: a broker alone or around a command, the address where it is wanted, and a clean end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.kafka import probe
from deploy.kafka.sources import VARIABLE, Kafka
from tests.processes import comes_true

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.usefixtures("kafka")
def test_a_command_runs_with_the_address_and_its_status_is_ours() -> None:
    """`--exec` sets the variable, leaves standard output to the command, passes its status on and stops the broker."""
    process = command_line("--exec", "sh", "-c", f"echo ${VARIABLE}; exit 7")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 7
    assert probe.addresses(out) == [("127.0.0.1", int(out.rpartition(":")[2]))]
    assert not probe.answers(out, 1.0)


@pytest.mark.usefixtures("kafka")
def test_the_broker_runs_until_it_is_told_to_stop(tmp_path: Path) -> None:
    """`python -m deploy.kafka` keeps the address in the file while it runs, and ends cleanly on SIGTERM."""
    env_file = tmp_path / "broker.env"
    process = command_line("--env-file", str(env_file))
    assert comes_true(env_file.exists, seconds=60)
    line = env_file.read_text(encoding="utf-8").strip()
    assert probe.answers(line.removeprefix(f"{VARIABLE}="), 5.0)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out.splitlines()[0]) == (0, line)
    assert not env_file.exists()


def test_an_address_in_the_environment_is_used_as_it_is(kafka: Kafka) -> None:
    """With KAFKA_BOOTSTRAP_SERVERS set nothing is started: the command gets that address."""
    process = command_line("--exec", "sh", "-c", f"echo ${VARIABLE}", address=kafka.bootstrap_servers)
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out.strip()) == (0, kafka.bootstrap_servers)
    assert probe.answers(kafka.bootstrap_servers, 1.0)  # and it was not stopped either


def test_a_signal_reaches_the_command(kafka: Kafka, tmp_path: Path) -> None:
    """The command can end in its own good order; our status then says which signal it was."""
    started, cleaned = tmp_path / "started", tmp_path / "cleaned"
    script = f"trap 'echo > {cleaned}; exit 0' TERM; echo > {started}; while :; do sleep 0.1; done"
    process = command_line("--exec", "sh", "-c", script, address=kafka.bootstrap_servers)
    assert comes_true(started.exists, seconds=10)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert cleaned.exists()


def test_a_command_that_does_not_exist_is_named(kafka: Kafka) -> None:
    """As in a shell: status 127 and the command's name."""
    process = command_line("--exec", "no-such-command", address=kafka.bootstrap_servers)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 127
    assert "no-such-command: No such file" in said


def test_without_a_broker_the_reason_is_said() -> None:
    """An address where nobody answers, or a port that is taken: status 1 and one line, no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = command_line("--port", str(port))
        assert process.communicate(timeout=30)[1] == f"no broker: port {port} is in use\n"
    assert process.returncode == 1
    process = command_line(address="localhost")
    assert "'localhost' is not host:port" in process.communicate(timeout=30)[1]
    assert process.returncode == 1


def command_line(*arguments: str, address: str | None = None) -> subprocess.Popen[str]:
    """Start `python -m deploy.kafka` with the variable set to `address` or not at all; its output is read."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    if address is not None:
        environment[VARIABLE] = address
    command = [sys.executable, "-m", "deploy.kafka", *arguments]
    return subprocess.Popen(  # noqa: S603 - our own
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
