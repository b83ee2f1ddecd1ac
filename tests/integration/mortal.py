"""A scripted engine that dies of what a test says, hangs, refuses, or does not start; and starts again."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from consumer.analysis.task import Task
from consumer.engines.contract import Deliver, Health, Prepared
from consumer.errors import EngineDown, EngineUnavailable
from tests.integration.scripted import ScriptedEngine


@dataclass(eq=False)
class MortalEngine(ScriptedEngine):
    """Answers in the order of its batches until one of them kills it: then every call in flight fails."""

    kills: Callable[[Task], bool] = lambda _: False
    """Whether the engine dies when it comes to this one."""
    chokes: Callable[[Task], bool] = lambda _: False
    """Whether it dies already when this one is prepared."""
    hangs: bool = False
    """At a death the other calls in flight never return, until they are cancelled."""
    start_errors: list[Exception] = field(default_factory=list)
    """What the next starts raise, one each."""
    refusals: list[EngineUnavailable] = field(default_factory=list)
    """What the next runs raise, one each."""
    may_start: asyncio.Event = field(default_factory=asyncio.Event)
    """A start waits for it; open from the start."""
    deaths: list[list[str]] = field(default_factory=list)
    """What was in flight at each."""
    starts: int = 0
    stops: int = 0
    outlived: list[str] = field(default_factory=list)
    """Texts answered, in order."""
    dead: bool = True
    flying: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Open from the start."""
        super().__post_init__()
        self.may_start.set()

    async def start(self) -> None:
        """As new, unless the test has it fail."""
        self.starts += 1
        await self.may_start.wait()
        if self.start_errors:
            raise self.start_errors.pop(0)
        await super().start()
        self.dead, self.flying = False, []

    async def stop(self) -> None:
        """Every call in flight fails."""
        self.stops += 1
        self.dead = True
        await super().stop()

    def health(self) -> Health:
        """Ready while it lives."""
        return Health(not self.dead, "dead" if self.dead else "")

    async def prepare(self, tasks: Sequence[Task], budget: int) -> list[Prepared]:
        """Dies of what chokes it."""
        self._check()
        if any(self.chokes(task) for task in tasks):
            self._die(["".join(task.reviews) for task in tasks])
        return await super().prepare(tasks, budget)

    async def run(self, batch: Sequence[Prepared], deliver: Deliver) -> None:
        """Answer in turn; die at a killer."""
        self._check()
        if self.refusals:
            raise self.refusals.pop(0)
        texts, flying = ["".join(prepared.task.reviews) for prepared in batch], self.flying
        flying.extend(texts)
        self.most_at_once = max(self.most_at_once, len(flying))
        await self.gate.wait()
        for index, prepared in enumerate(batch):
            await asyncio.sleep(0)
            if self.dead and self.hangs:
                await asyncio.Event().wait()
            self._check()
            if self.kills(prepared.task):
                self._die()
            flying.remove(texts[index])
            self.outlived.append(texts[index])
            deliver(index, self._answer(prepared.task))

    def _check(self) -> None:
        if self.dead:
            raise EngineDown("it is dead")

    def _die(self, also: Sequence[str] = ()) -> None:
        self.dead = True
        self.deaths.append(sorted([*self.flying, *also]))
        raise EngineDown("killed")
