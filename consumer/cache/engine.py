"""An engine that asks another one only what is not known yet."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from consumer.analysis.task import Task
from consumer.cache.flights import Flight, Flights
from consumer.cache.keys import Identity, key_of
from consumer.cache.memory import MemoryCache
from consumer.cache.shared import SharedCache
from consumer.cache.values import answer_of, value_of
from consumer.engines.contract import Answer, Deliver, Engine, Fault, Health, Load, Prepared
from consumer.engines.ending import together
from consumer.hooks.events import Event, Hooks, What

Places = dict[bytes, list[int]]
"""Items of one batch by their key: equal ones have one key."""


@dataclass(frozen=True, slots=True)
class Keyed:
    """A prepared task as the engine itself made it, its key, and what was known of it then."""

    its: Prepared
    key: bytes
    answer: Answer | None


class CachingEngine:
    """Keeps the engine contract around an engine that keeps it.

    What is known when a task is prepared weighs one token, so that it takes no other's place in a batch.
    """

    def __init__(
        self, engine: Engine, identity: Identity, memory: MemoryCache, shared: SharedCache | None, hooks: Hooks
    ) -> None:
        self._engine, self._identity = engine, identity
        self._memory, self._shared, self._hooks = memory, shared, hooks
        self._flights = Flights()

    @property
    def name(self) -> str:
        """The engine's own."""
        return self._engine.name

    @property
    def model(self) -> str:
        """The engine's own."""
        return self._engine.model

    async def start(self) -> None:
        """Start the engine; the cache needs no start that could fail."""
        if self._shared:
            self._shared.start()
        await self._engine.start()

    async def stop(self) -> None:
        """Stop both. What is in memory stays."""
        await self._engine.stop()
        if self._shared:
            await self._shared.stop()

    def health(self) -> Health:
        """The engine's own: a cache that is down changes nothing."""
        return self._engine.health()

    def load(self) -> Load | None:
        """The engine's own."""
        return self._engine.load()

    async def prepare(self, tasks: Sequence[Task], budget: int) -> list[Prepared]:
        """Let the engine prepare, and look up all of it at once."""
        prepared = await self._engine.prepare(tasks, budget)
        keys = [key_of(self._identity, its) for its in prepared]
        missing = [key for key in dict.fromkeys(keys) if self._memory.get(key) is None]
        if self._shared:
            for key, value in (await self._shared.get(missing)).items():
                self._memory.put(key, value)
        return [self._keyed(its, key) for its, key in zip(prepared, keys, strict=True)]

    def _keyed(self, its: Prepared, key: bytes) -> Prepared:
        answer = self._known(its.task, key)
        made = replace(its, payload=Keyed(its, key, answer))
        return made if answer is None else replace(made, own_tokens=1, prefix_tokens=0)

    async def run(self, batch: Sequence[Prepared], deliver: Deliver) -> None:
        """Deliver what is known, wait for what others ask already, and let the engine run the rest.

        An engine that is down is asked for all of it, so that it can say so, or find that it is up again.
        """
        keyed = [_payload(its) for its in batch]
        if not self._engine.health().ready:
            await self._engine.run([one.its for one in keyed], deliver)
            return
        left = self._answer_known(keyed, deliver)
        while left:
            left = await self._asked(keyed, left, deliver)

    def _answer_known(self, keyed: Sequence[Keyed], deliver: Deliver) -> Places:
        left: Places = {}
        for index, one in enumerate(keyed):
            answer = one.answer or self._known(one.its.task, one.key)
            if answer is None:
                left.setdefault(one.key, []).append(index)
            else:
                self._deliver_known(one, index, answer, deliver, "kept")
        return left

    async def _asked(self, keyed: Sequence[Keyed], left: Places, deliver: Deliver) -> Places:
        """Ask for each key, or wait for who asks it. Gives what came to nothing through no fault of its own."""
        flights = {key: self._flights.get(key) for key in left}
        leading = {key: left[key] for key, flight in flights.items() if flight is None}
        led = self._flights.lead(leading)
        again: Places = {}
        waits = (
            self._follow(keyed, flight, key, left[key], deliver, again)
            for key, flight in flights.items()
            if flight is not None
        )
        try:
            await together([*waits, self._lead(keyed, leading, led, deliver, again)])
        finally:  # also where a task of these never began
            for key, flight in led.items():
                self._flights.land(key, flight, None)
        return again

    async def _lead(
        self,
        keyed: Sequence[Keyed],
        leading: Places,
        led: dict[bytes, Flight],
        deliver: Deliver,
        again: Places,
    ) -> None:
        """Ask the first of each key; its equals get its answer, but not its fault."""
        if not leading:
            return
        keys = list(leading)

        def take(number: int, said: Answer | Fault) -> None:
            key = keys[number]
            first, *others = leading[key]
            answer = self._keep(keyed[first], led[key], said)
            self._hooks(Event(What.LOOKED_UP, kind=keyed[first].its.task.kind, reason="asked"))
            deliver(first, said)
            if others and answer is None:
                again[key] = others
                return
            for other in others:
                self._deliver_known(keyed[other], other, answer, deliver, "in_flight")

        await self._engine.run([keyed[leading[key][0]].its for key in keys], take)

    def _keep(self, one: Keyed, flight: Flight, said: Answer | Fault) -> Answer | None:
        """Keep an answer that can be used, and let those who wait have it; None: there is nothing to have."""
        value = value_of(one.its.task, said)
        answer = said if isinstance(said, Answer) and value is not None else None
        if value is not None:
            self._memory.put(one.key, value)
            if self._shared:
                self._shared.put(one.key, value)
        self._flights.land(one.key, flight, answer)
        return answer

    async def _follow(
        self,
        keyed: Sequence[Keyed],
        flight: Flight,
        key: bytes,
        places: Sequence[int],
        deliver: Deliver,
        again: Places,
    ) -> None:
        """Wait for another's answer. Where that one is cancelled, or fails, the question is asked anew."""
        await asyncio.wait([flight])  # not the flight itself: cancelling us must not cancel it for the others
        answer = flight.result()
        if answer is None:
            again[key] = list(places)
            return
        for index in places:
            self._deliver_known(keyed[index], index, answer, deliver, "in_flight")

    def _deliver_known(self, one: Keyed, index: int, answer: Answer | None, deliver: Deliver, reason: str) -> None:
        if answer is not None:
            self._hooks(Event(What.LOOKED_UP, kind=one.its.task.kind, reason=reason))
            deliver(index, replace(answer, cached=True))

    def _known(self, task: Task, key: bytes) -> Answer | None:
        value = self._memory.get(key)
        return None if value is None else answer_of(task, value)


def _payload(its: Prepared) -> Keyed:
    if not isinstance(keyed := its.payload, Keyed):
        raise TypeError("a task that another engine has prepared")
    return replace(keyed, its=replace(keyed.its, trace=its.trace)) if its.trace else keyed
