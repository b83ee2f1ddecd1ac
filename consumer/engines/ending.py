"""How all that waits for an engine ends at once, and how many requests run as one."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any

from consumer.errors import EngineDown


class Ending:
    """Until it is over, work may run in its scope; then all of it fails with EngineDown, whatever it waits for."""

    def __init__(self) -> None:
        self.over = ""
        """Why it is over; empty until then."""
        self._scopes: set[asyncio.Timeout] = set()

    def end(self, reason: str) -> None:
        """It is over. Called on the event loop; a second time changes nothing."""
        if self.over:
            return
        self.over = reason
        now = asyncio.get_running_loop().time()
        for scope in self._scopes:
            scope.reschedule(now)

    def check(self) -> None:
        """Raise EngineDown when it is over."""
        if self.over:
            raise EngineDown(self.over)

    @asynccontextmanager
    async def scope(self) -> AsyncIterator[None]:
        """What runs inside is cancelled, and EngineDown raised, at the end."""
        self.check()
        try:
            async with asyncio.timeout(None) as scope:
                self._scopes.add(scope)
                try:
                    yield
                finally:
                    self._scopes.discard(scope)
        except TimeoutError:
            if scope.expired():
                self.check()
            raise


async def together(work: Iterable[Coroutine[Any, Any, object]]) -> None:
    """As a TaskGroup, but the first failure is raised as it is."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for coroutine in work:
                tasks.create_task(coroutine)
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
