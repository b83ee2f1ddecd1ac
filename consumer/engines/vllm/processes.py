"""The processes of one vLLM engine, and their end.

vLLM starts an engine core, and that its workers. When the core is killed its workers are orphans, so they are
remembered while the core lives.
"""

import asyncio
import multiprocessing
from collections.abc import Iterable
from contextlib import suppress

import psutil

LOOK_SECONDS = 0.05


class Processes:
    """Made before the engine is built: what multiprocessing starts from then on is the engine's."""

    def __init__(self) -> None:
        self._before = {child.pid for child in multiprocessing.active_children()}
        self._known: set[psutil.Process] = set()

    def look(self) -> set[psutil.Process]:
        """All that belong to the engine, and are alive."""
        roots = {child.pid for child in multiprocessing.active_children()} - self._before
        self._known |= set(_trees(pid for pid in roots if pid is not None))
        self._known = {process for process in self._known if _alive(process)}
        return self._known

    async def kill(self, seconds: float) -> None:
        """SIGKILL for every one of them; return when they are gone, or after `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while found := self.look():
                    for process in found:
                        with suppress(psutil.Error):
                            process.kill()
                    await asyncio.sleep(LOOK_SECONDS)


def _trees(roots: Iterable[int]) -> Iterable[psutil.Process]:
    for pid in roots:
        with suppress(psutil.Error):
            root = psutil.Process(pid)
            yield root
            yield from root.children(recursive=True)


def _alive(process: psutil.Process) -> bool:
    """A zombie has ended: its parent reaps it, not we."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
