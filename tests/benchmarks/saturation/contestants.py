"""Ways to ask an engine everything, without Kafka. Each asks the very questions that the service asks."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, cast

from consumer.engines.contract import Answer, Engine, Fault, Prepared
from consumer.errors import DeadLetter, RetryLater
from consumer.pipeline.settling import INVALID
from tests.benchmarks.saturation.workloads import Ask

CHUNK = 64
"""Prompts tokenised in one go, as the service does: the engine starts on the first while the next are tokenised."""


class Asked(NamedTuple):
    """A question as it is sent."""

    ask: Ask
    prepared: Prepared


class Most(NamedTuple):
    """What a dynamic batch may hold."""

    tokens: int
    """Of prompts, a prefix that several share once."""
    items: int


Follow = Callable[[Sequence[Ask]], None]
"""Takes what follows from an answer, the moment it is there; nothing may follow."""


@dataclass
class Client:
    """Asks, and reads answers as the service does: an invalid one is asked for once more, by a stricter prompt."""

    engine: Engine
    budget: int
    """Tokens of a micro-batch, which is what the service lets a prompt and its answer take."""
    prompts: int = 0
    failed: set[int] = field(default_factory=set)
    """Owners of a question whose answer was invalid twice."""

    async def prepared(self, asks: Sequence[Ask]) -> list[Asked]:
        """Tokenised."""
        if not asks:
            return []
        found = await self.engine.prepare([ask.question.task for ask in asks], self.budget)
        return list(map(Asked, asks, found))

    async def ask(self, batch: Sequence[Asked], follow: Follow) -> None:
        """All of them at once; returns when all are answered. Raises what the engine says of a prompt it fails."""
        batch = [its for its in batch if its.ask.owner not in self.failed]
        self.prompts += len(batch)
        await self.engine.run(
            [its.prepared for its in batch], lambda number, outcome: follow(self._used(batch[number], outcome))
        )

    def _used(self, asked: Asked, outcome: Answer | Fault) -> Sequence[Ask]:
        owner, question = asked.ask
        try:
            if isinstance(outcome, RetryLater | DeadLetter):
                raise outcome
            return [Ask(owner, more) for more in question.use(outcome, asked.prepared)]
        except RetryLater as fault:
            if fault.reason != INVALID:
                raise
        if question.task.strict:
            self.failed.add(owner)
            return ()
        return [Ask(owner, replace(question, task=replace(question.task, strict=True)))]


async def one_at_a_time(client: Client, asks: Sequence[Ask]) -> None:
    """Each prompt waits for the answer to the one before; a restaurant is finished before the next is begun."""
    left = deque(asks)
    while left:
        more: list[Ask] = []
        await client.ask(await client.prepared([left.popleft()]), more.extend)
        left.extendleft(reversed(more))


async def in_batches(client: Client, asks: Sequence[Ask], *, permits: int, most: Most) -> None:
    """Dynamic batches as barriers: a batch gives its permit back when all of its prompts are answered.

    One permit: one batch after another. A batch takes as much as it holds of what waits then, also what follows from
    answers of batches that are over.
    """
    waiting = deque(await client.prepared(asks))
    running: set[asyncio.Task[list[Ask]]] = set()
    async with asyncio.TaskGroup() as tasks:
        while waiting or running:
            while waiting and len(running) < permits:
                batch = [waiting.popleft() for _ in range(fill((its.prepared for its in waiting), most))]
                running.add(tasks.create_task(_gathered(client, batch)))
            over, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for one in over:
                waiting.extend(await client.prepared(one.result()))


async def at_once(client: Client, asks: Sequence[Ask]) -> None:
    """No bound at all: what follows from an answer is asked the moment it is there."""
    async with asyncio.TaskGroup() as tasks:

        async def ask(some: Sequence[Ask]) -> None:
            await client.ask(await client.prepared(some), follow)

        def follow(more: Sequence[Ask]) -> None:
            if more:
                tasks.create_task(ask(more))

        for first in range(0, len(asks), CHUNK):
            follow(asks[first : first + CHUNK])


def fill(waiting: Iterable[Prepared], most: Most) -> int:
    """How many of those that wait, from the first on, make a batch: as many as fit, and one at least."""
    count, tokens, prefixes = 0, 0, set[str]()
    for its in waiting:
        tokens += _prompt_tokens(its) - (its.prefix_tokens if its.prefix in prefixes else 0)
        prefixes.add(its.prefix)
        if count == most.items or (count and tokens > most.tokens):
            break
        count += 1
    return count


async def _gathered(client: Client, batch: Sequence[Asked]) -> list[Ask]:
    more: list[Ask] = []
    await client.ask(batch, more.extend)
    return more


def _prompt_tokens(its: Prepared) -> int:
    """The payload of `vllm` is the prompt's ids."""
    return len(cast("Sequence[int]", its.payload))
