"""The consumer as a process of its own: the demo knows it only by its command, its environment and its exit status."""

import asyncio
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from producer.errors import CannotGoOn

COMMAND = (sys.executable, "-m", "consumer.cli", "run")
TAIL_LINES = 25


class ConsumerProcess:
    """Runs the consumer; its log goes to a file. `stop` is bounded and safe to call twice."""

    def __init__(self, environment: Mapping[str, str], log: Path, command: Sequence[str] = COMMAND) -> None:
        self._environment, self._log, self._command = environment, log, command
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it; it may take seconds until it reads."""
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, env=dict(self._environment), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )

    def require_running(self) -> None:
        """Raises CannotGoOn, with the end of its log, if it has ended by itself."""
        if self._process is not None and self._process.returncode is not None:
            raise CannotGoOn(f"the consumer ended by itself with status {self._process.returncode}:\n{self.log_tail()}")

    async def stop(self, seconds: float) -> int:
        """SIGTERM, and SIGKILL after `seconds`; return its exit status (negative: the signal that killed it)."""
        if self._process is None:
            return 0
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(seconds):
                return await self._process.wait()
        except TimeoutError:
            self._process.kill()
            return await self._process.wait()

    def log_tail(self) -> str:
        """The last lines of its log."""
        lines = self._log.read_text("utf-8", "replace").splitlines() if self._log.exists() else []
        return "\n".join(lines[-TAIL_LINES:]) or "(it logged nothing)"
