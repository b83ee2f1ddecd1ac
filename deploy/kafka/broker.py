"""One Kafka node on this machine's Java: started, stopped, killed and started again on the same port and data."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.kafka import probe
from deploy.kafka.errors import BrokerFailed
from deploy.kafka.jars import KAFKA_VERSION
from deploy.kafka.node import Listeners, as_properties, single_node

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 15.0
KEPT_LOGS: Final = 10
_HOST: Final = "127.0.0.1"
_READY: Final = b"Kafka Server started"
_WARDEN: Final = Path(__file__).with_name("warden.py")
_LOG4J: Final = Path(__file__).with_name("log4j2.properties")


@dataclass(frozen=True)
class _Site:
    """What stays when a broker is stopped and started again."""

    folder: tempfile.TemporaryDirectory[str]
    port: int
    log_path: Path

    @property
    def properties(self) -> Path:
        return Path(self.folder.name) / "server.properties"


class Broker:
    """A single-node Kafka as a child process; synchronous, for one thread.

    jars: the folder from `jars.resolve`; java: the program; logs: the folder for log files; port: the clients' port
    (default: a free one); settings: further lines of server.properties, which win over ours.
    """

    def __init__(
        self, jars: Path, java: str, logs: Path, *, port: int | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        self._jars = jars
        self._java = java
        self._logs = logs
        self._port = port
        self._settings = dict(settings or {})
        self._site: _Site | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        """The clients' address, host:port, the same over restarts. Raises RuntimeError before the first start."""
        return f"{_HOST}:{self._placed.port}"

    @property
    def log_path(self) -> Path:
        """The file with the broker's log, appended to over restarts. Raises RuntimeError before the first start."""
        return self._placed.log_path

    @property
    def data_path(self) -> Path:
        """The folder with settings and records, removed by `close`. Raises RuntimeError before the first start."""
        return Path(self._placed.folder.name)

    @property
    def origin(self) -> str:
        """Where this broker comes from, in words."""
        return f"Kafka {KAFKA_VERSION} on {self._java}; log: {self._placed.log_path}"

    def is_running(self) -> bool:
        """Say whether the process is there; it may still be starting."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start, on the same port and data as before; return when it answers, within START_SECONDS.

        Raises BrokerFailed, with the end of the log, when it ends or does not answer by then; nothing is left running.
        """
        if self.is_running():
            raise RuntimeError("this broker is already running")
        site = self._site = self._site or self._prepare()
        with site.log_path.open("ab") as log:
            seen = log.tell()
            self._process = self._launch(site, log.fileno())
        try:
            self._await_ready(site, self._process, seen)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Shut down in good order, by force after STOP_SECONDS; return when no process is left. Keeps the data."""
        self._end(signal.SIGTERM, STOP_SECONDS)

    def kill(self) -> None:
        """Kill without warning, as a crash would; return when no process is left. Keeps the data."""
        self._end(signal.SIGUSR1, 5.0)  # the warden's word for SIGKILL

    def close(self) -> None:
        """Stop and remove the data; the log stays. A later start is a new broker on a new port."""
        self.stop()
        if self._site is not None:
            self._site.folder.cleanup()
            self._site = None

    @property
    def _placed(self) -> _Site:
        if self._site is None:
            raise RuntimeError("this broker was never started")
        return self._site

    def _prepare(self) -> _Site:
        """Choose ports, write server.properties and format the data folder."""
        port = self._port or probe.free_port()
        folder = tempfile.TemporaryDirectory(prefix="kafka-", ignore_cleanup_errors=True)
        site = _Site(folder, port, _new_log(self._logs, port))
        listeners = Listeners(_HOST, port, probe.free_port(avoid=port), advertised=_HOST)
        settings = single_node(listeners) | {"log.dirs": f"{folder.name}/data"} | self._settings
        site.properties.write_text(as_properties(settings), encoding="utf-8")
        try:
            self._format(site)
        except BaseException:
            folder.cleanup()
            raise
        return site

    def _format(self, site: _Site) -> None:
        cluster = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        arguments = ["format", "-t", f"k{cluster[1:]}", "-c", str(site.properties)]  # an id must not begin with "-"
        command = self._command(["-XX:TieredStopAtLevel=1"], "kafka.tools.StorageTool", *arguments)
        with site.log_path.open("ab") as log:
            code = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=START_SECONDS, check=False
            ).returncode
        if code != 0:
            raise BrokerFailed(f"kafka.tools.StorageTool ended with status {code}; {_tail(site.log_path)}")

    def _launch(self, site: _Site, log: int) -> subprocess.Popen[bytes]:
        command = self._command(["-Xmx512m"], "kafka.Kafka", str(site.properties))
        return subprocess.Popen(
            [sys.executable, "-IS", str(_WARDEN), str(os.getpid()), site.folder.name, *command],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,  # a Ctrl-C in the terminal reaches us, who then stop it, and not the broker
        )  # fmt: skip

    def _command(self, options: list[str], main: str, *arguments: str) -> list[str]:
        log4j = f"-Dlog4j2.configurationFile={_LOG4J}"
        return [self._java, *options, log4j, "-cp", f"{self._jars}/*", main, *arguments]

    def _await_ready(self, site: _Site, process: subprocess.Popen[bytes], seen: int) -> None:
        """Wait for both: the log line shows that it is this broker which answers, the answer that it serves."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise BrokerFailed(f"Kafka ended with status {process.returncode}; {_tail(site.log_path)}")
            if _READY in _written_since(seen, site.log_path) and probe.answers(self.bootstrap_servers, 2.0):
                return
            time.sleep(0.05)
        raise BrokerFailed(f"Kafka did not answer within {START_SECONDS:.0f} s; {_tail(site.log_path)}")

    def _end(self, how: signal.Signals, seconds: float) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError):  # the usual case: the whole group is gone
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(seconds)
            self._process = None


def _new_log(folder: Path, port: int) -> Path:
    """Name a new log file and remove all but the newest few of the others."""
    folder.mkdir(parents=True, exist_ok=True)
    older = sorted(folder.glob("kafka-*.log"))  # by time, as their names begin with it
    for path in older[: max(0, len(older) - KEPT_LOGS + 1)]:
        path.unlink(missing_ok=True)
    return folder / f"kafka-{time.strftime('%Y%m%d-%H%M%S')}-{port}.log"


def _written_since(position: int, log: Path) -> bytes:
    with log.open("rb") as file:
        file.seek(position)
        return file.read()


def _tail(log: Path) -> str:
    """Quote the end of a log and say where the rest is."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
    return "\n".join([f"the end of {log}:", *lines])
