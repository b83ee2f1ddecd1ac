"""Long work on an event loop, in short turns."""

import asyncio

TURN_SECONDS = 0.005


class Turns:
    """Lets others have the loop whenever this task has had it for TURN_SECONDS."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()

    async def next(self) -> None:
        """To be called between pieces of work."""
        if self._loop.time() - self._since > TURN_SECONDS:
            await asyncio.sleep(0)
            self._since = self._loop.time()
