"""Processes that are started again when they end, as `restart: unless-stopped` has Docker do."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

BACK_OFF_SECONDS: Final = 1.0
STOP_SECONDS: Final = 20.0


class Kept:
    """One module of ours as a process, `python -m MODULE ARGUMENTS`, kept up until it is stopped."""

    def __init__(self, module: Sequence[str], environment: Mapping[str, str], logs: Path) -> None:
        self._module, self.environment, self._logs = module, dict(environment), logs
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.starts = 0

    def start(self) -> None:
        """Begin to keep it up; returns at once."""
        self._keeper = asyncio.create_task(self._keep(), name=self._module[0])

    async def stop(self) -> None:
        """SIGTERM, after a while SIGKILL; it is not started again."""
        if self._keeper:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        await self._end()

    async def again(self, **changes: str | None) -> None:
        """Stop it, and start it with variables changed; None: without one."""
        await self.stop()
        for name, value in changes.items():
            self.environment.pop(name, None)
            if value is not None:
                self.environment[name] = value
        self.start()

    async def _keep(self) -> None:
        while True:
            self.starts += 1
            with (self._logs / f"{self._module[0]}-{self.starts}.log").open("wb") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", *self._module),
                    env=self.environment | {"OPS_PARENT": str(os.getpid())},
                    stdout=log,
                    stderr=log,
                )
            await self._process.wait()
            await asyncio.sleep(BACK_OFF_SECONDS)

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
