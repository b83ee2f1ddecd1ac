"""A real Redis for tests: `redis-server` on a socket of its own, killed and started again at will."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

START_SECONDS = 10.0
MISSING = "redis-server is not installed: `make redis`, or your system's package manager"


class RedisServer:
    """One process at a time, which keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """As REDIS_URL."""
        return f"unix://{self._socket}"

    def start(self) -> None:
        """Return when it takes connections."""
        self._socket.unlink(missing_ok=True)
        options = ("--port", "0", "--unixsocket", str(self._socket), "--save", "", "--appendonly", "no")
        self._process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)  # noqa: S603, S607
        deadline = time.monotonic() + START_SECONDS
        while not self._socket.exists():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError("redis-server did not start")
            time.sleep(0.01)

    def send(self, number: int) -> None:
        """Send the process a signal, such as SIGSTOP."""
        if self._process:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End it as a crash does; what it held is gone."""
        if self._process:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait(START_SECONDS)
            self._process = None


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A Redis of the test's own, started. Missing is a failure with CI set, else a skip."""
    if shutil.which("redis-server") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(MISSING)
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:  # short: a socket's path has 108 bytes at most
        server = RedisServer(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.kill()
