"""One open request: its replies on their way to whoever waits for them."""

import asyncio
from typing import Generic

from producer.errors import TryLater
from producer.gathering import Answer, Gathering
from producer.kinds import I, R
from schemas.findings import AnalysisError
from schemas.results import AnalysisReply


class Call(Generic[I, R]):
    """Answers in the order in which they come; no more can wait here than the request has restaurants."""

    def __init__(self, gathering: Gathering[I, R]) -> None:
        self._gathering = gathering
        self._waiting = asyncio.Queue[Answer[R] | TryLater]()
        self.heard = False
        """Whether any reply has come."""

    @property
    def over(self) -> bool:
        """Whether every place is filled, and its answer fetched."""
        return self._gathering.complete and self._waiting.empty()

    def reply(self, reply: AnalysisReply) -> bool:
        """Take a reply; False for a repeat."""
        answer = self._gathering.take(reply)
        self.heard = True
        return self._put(answer)

    def fail(self, index: int, error: AnalysisError) -> None:
        """Fill a place with an error, unless it is filled."""
        self._put(self._gathering.fail(index, error))

    def fail_missing(self, error: AnalysisError) -> None:
        """Fill every place that is left."""
        for answer in self._gathering.fail_missing(error):
            self._put(answer)

    def interrupt(self, why: TryLater) -> None:
        """Let whoever waits know that no more replies can be expected."""
        self._waiting.put_nowait(why)

    async def next_answer(self, until: float | None) -> Answer[R]:
        """Wait for the next answer until the loop's time `until`, or for ever. Raises TimeoutError, TryLater."""
        async with asyncio.timeout_at(until):
            found = await self._waiting.get()
        if isinstance(found, TryLater):
            raise found
        return found

    def _put(self, answer: Answer[R] | None) -> bool:
        if answer is not None:
            self._waiting.put_nowait(answer)
        return answer is not None
