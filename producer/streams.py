"""A request on its way: its answers as they come."""

import asyncio
import weakref
from collections.abc import Callable
from typing import Generic, Self, TypeVar

from producer.asking import Question, utc_now
from producer.calls import Call
from producer.errors import NothingReady, Refused, TryLater
from producer.gathering import TIMEOUT, TOO_LARGE, UNAVAILABLE, Answer, Gathering, Pending, failures, in_order
from producer.kinds import I, R
from producer.outbox import Outbox
from producer.silence import Silence
from producer.turns import Turns
from schemas.findings import AnalysisError

B = TypeVar("B")


class Stream(Generic[I, R]):
    """An asynchronous iterator with one answer a restaurant, in the order in which they come; to be iterated once.

    At the time-out the places that are left come with the error `timeout`. Raises TryLater where nothing could be
    asked; after the first answer the places that are left come with the error `unavailable` instead. Left early, or
    cancelled, it waits for nothing any more.
    """

    def __init__(self, question: Question[I, R], pending: Pending, outbox: Outbox, silence: Silence) -> None:
        self._question, self._outbox, self._silence = question, outbox, silence
        self._call = Call(Gathering(question.kind, question.restaurants))
        self._asked = asyncio.get_running_loop().time()
        self._until = self._asked + question.timeout_seconds
        self._begun = self._yielded = False
        pending.open(question.request_id, self._call, len(question.restaurants))
        self._closed = weakref.finalize(self, pending.close, question.request_id)

    @property
    def request_id(self) -> str:
        """The request's id in Kafka."""
        return self._question.request_id

    def close(self) -> None:
        """Wait for nothing any more. Safe to call twice; also done at the end, on an error, and when dropped."""
        self._closed()

    async def gathered(self, response: Callable[[tuple[R, ...], int], B]) -> B:
        """All results in the request's order. Raises TryLater, and NothingReady where every place timed out."""
        answers = [answer async for answer in self]
        if answers and all(answer.error is not None and answer.error.code == TIMEOUT for answer in answers):
            raise NothingReady(f"nothing was ready within {self._question.timeout_seconds:g} s")
        return response(in_order(answers), failures(answers))

    def __aiter__(self) -> Self:
        """Iterate over itself."""
        return self

    async def __anext__(self) -> Answer[R]:
        """Wait for the next answer."""
        if self._call.over:
            self.close()
            raise StopAsyncIteration
        try:
            answer = await self._next()
        except BaseException:
            self.close()
            raise
        self._yielded = True
        return answer

    async def _next(self) -> Answer[R]:
        try:
            await self._begin()
            return await self._call.next_answer(self._until)
        except TimeoutError:
            if not self._call.heard:
                self._silence.unanswered(self._asked, asyncio.get_running_loop().time())
            message = f"no answer within {self._question.timeout_seconds:g} s"
            self._call.fail_missing(AnalysisError(code=TIMEOUT, message=message))
        except TryLater as error:
            if not self._yielded:
                raise
            self._call.fail_missing(AnalysisError(code=UNAVAILABLE, message=str(error)))
        return await self._call.next_answer(None)  # one is there

    async def _begin(self) -> None:
        """Send the records, once."""
        if self._begun:
            return
        self._begun = True
        now = utc_now()
        deadline = self._question.deadline(now)
        turns = Turns()
        async with asyncio.timeout_at(self._until):
            for index in range(len(self._question.restaurants)):
                await turns.next()
                await self._send(index, *self._question.record(index, now, deadline))

    async def _send(self, index: int, key: bytes, value: bytes, headers: tuple[tuple[str, bytes], ...]) -> None:
        call = self._call

        def failed(error: Refused | TryLater) -> None:
            if isinstance(error, TryLater):
                call.interrupt(error)
            else:
                call.fail(index, AnalysisError(code=TOO_LARGE, message=str(error)))

        try:
            await self._outbox.send(key, value, headers, failed)
        except Refused as error:
            failed(error)
