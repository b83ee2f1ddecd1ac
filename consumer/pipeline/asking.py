"""Asks an engine many questions outside the stream: in bounded micro-batches, each question once."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from consumer.analysis.task import Task
from consumer.engines.contract import Answer, Engine, Fault, Prepared
from consumer.errors import DeadLetter, EngineDown, RetryLater
from consumer.hooks.bugs import log_bug
from consumer.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AskLimits:
    """Bounds on what is with the engine."""

    tokens: int
    """Of a micro-batch."""
    items: int
    """Of a micro-batch."""
    batches: int
    """That run at once."""
    timeout: float
    """Seconds a micro-batch may take; what is unanswered then has failed."""

    @classmethod
    def of(cls, settings: Settings) -> "AskLimits":
        """As the service's."""
        batches = settings.batches
        return cls(
            tokens=batches.max_tokens_per_batch,
            items=batches.max_batch_size,
            batches=batches.max_concurrent_batches,
            timeout=settings.engine.engine_request_timeout_seconds,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one task: as it was sent (its text may be cut), and the answer or why there is none."""

    sent: Task
    said: Answer | Fault


async def ask(
    engine: Engine, tasks: Sequence[Task], limits: AskLimits, answered: Callable[[], None] = lambda: None
) -> list[Outcome]:
    """Ask a started engine; outcomes in the tasks' order, `answered` called for each as it comes.

    One task's failure is that task's alone, and is not tried again. Raises EngineDown when the engine died.
    """
    outcomes: dict[int, Outcome] = {}

    def take(at: int, outcome: Outcome) -> None:
        outcomes[at] = outcome
        answered()

    left = iter(range(len(tasks)))
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(limits.batches):
                group.create_task(_Asker(engine, tasks, limits, take).work(left), name="ask")
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [outcomes[at] for at in range(len(tasks))]


@dataclass(frozen=True, slots=True)
class _Asker:
    """Takes tasks in pieces, one piece after another."""

    engine: Engine
    tasks: Sequence[Task]
    limits: AskLimits
    take: Callable[[int, Outcome], None]

    async def work(self, left: Iterator[int]) -> None:
        """Until none is left. The iterator is shared: whoever is free takes the next piece."""
        while places := list(islice(left, self.limits.items)):
            for batch in _packed(await self._prepared(places), self.limits.tokens):
                await self._run(batch)

    async def _prepared(self, places: Sequence[int]) -> list[tuple[int, Prepared]]:
        """All at once; one by one where that fails, so that the culprit is alone."""
        try:
            made = await self.engine.prepare([self.tasks[at] for at in places], self.limits.tokens)
        except EngineDown:
            raise
        except Exception as error:  # noqa: BLE001 - logged without its words
            if len(places) > 1:
                return [found for at in places for found in await self._prepared([at])]
            log_bug(log, "an item could not be prepared", error)
            self.take(places[0], Outcome(self.tasks[places[0]], DeadLetter("internal_error", type(error).__name__)))
            return []
        return list(zip(places, made, strict=True))

    async def _run(self, batch: Sequence[tuple[int, Prepared]]) -> None:
        unanswered = dict(batch)

        def deliver(index: int, said: Answer | Fault) -> None:
            at, prepared = batch[index]
            del unanswered[at]
            self.take(at, Outcome(prepared.task, said))

        fault: Fault = RetryLater("the engine left it unanswered")
        try:
            async with asyncio.timeout(self.limits.timeout):
                await self.engine.run([prepared for _, prepared in batch], deliver)
        except EngineDown:
            raise
        except TimeoutError:
            fault = RetryLater(f"no answer within {self.limits.timeout:g} s", "engine_timeout")
        except Exception as error:  # noqa: BLE001 - logged without its words
            log_bug(log, "the engine failed a batch", error)
            fault = DeadLetter("engine_error", f"the engine raised {type(error).__name__}")
        for at, prepared in list(unanswered.items()):
            self.take(at, Outcome(prepared.task, fault))


def _packed(items: Sequence[tuple[int, Prepared]], budget: int) -> Iterator[list[tuple[int, Prepared]]]:
    """Consecutive items of one prefix and within the budget; each fits it alone, as `prepare` promises."""
    batch: list[tuple[int, Prepared]] = []
    tokens = 0
    for at, prepared in items:
        if batch and (tokens + prepared.own_tokens > budget or prepared.prefix != batch[-1][1].prefix):
            yield batch
            batch = []
        tokens = prepared.own_tokens + (tokens if batch else prepared.prefix_tokens)
        batch.append((at, prepared))
    if batch:
        yield batch
