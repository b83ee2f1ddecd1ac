"""Carries out what the plan says, on the members and the broker."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence

from deploy.kafka.broker import Broker
from deploy.kafka.errors import BrokerFailed
from tests.chaos.crew import Crew, Member
from tests.chaos.plan import Happening, Kind

_LOOK_SECONDS = 0.1


class Turmoil:
    """Each happening is a task of its own, so that they overlap; `run` returns when all are over."""

    def __init__(self, crew: Crew, broker: Broker, say: Callable[[str], None]) -> None:
        self._crew, self._broker, self._say = crew, broker, say
        self._broker_is_away = False
        self.done: Counter[Kind] = Counter()

    async def run(self, plan: Sequence[Happening]) -> None:
        """Do it all, each at its time. When it is over every member is thawed and the broker is back."""
        started = time.monotonic()
        does = {
            Kind.KILL: self._kill,
            Kind.FREEZE: self._freeze,
            Kind.RESTART: self._restart,
            Kind.ADD: self._add,
            Kind.REMOVE: self._remove,
            Kind.BROKER: self._kill_broker,
        }
        async with asyncio.TaskGroup() as tasks:
            for happening in plan:
                await asyncio.sleep(max(0.0, started + happening.at - time.monotonic()))
                tasks.create_task(does[happening.kind](happening))

    async def _kill(self, happening: Happening) -> None:
        member = await self._victim(happening)
        self._crew.kill(member)
        await asyncio.sleep(happening.lasts)
        self._tell(happening, f"member {member.number}, in its place {self._crew.start(instead_of=member).number}")

    async def _freeze(self, happening: Happening) -> None:
        member = await self._victim(happening)
        self._crew.freeze(member)
        self._tell(happening, f"member {member.number} for {happening.lasts:.1f} s")
        await asyncio.sleep(happening.lasts)
        self._crew.thaw(member)
        self._say(f"thaw member {member.number}")

    async def _restart(self, happening: Happening) -> None:
        member = await self._victim(happening)
        await self._crew.stop(member)
        await asyncio.sleep(happening.lasts)
        self._tell(happening, f"member {member.number}, in its place {self._crew.start(instead_of=member).number}")

    async def _add(self, happening: Happening) -> None:
        self._tell(happening, f"member {self._crew.start().number}")

    async def _remove(self, happening: Happening) -> None:
        member = await self._victim(happening)
        self._tell(happening, f"member {member.number}")
        await self._crew.stop(member)

    async def _kill_broker(self, happening: Happening) -> None:
        if self._broker_is_away:
            self._say("broker: left alone, it is not back yet")
            return
        self._broker_is_away = True
        await asyncio.to_thread(self._broker.kill)
        self._tell(happening, f"away for {happening.lasts:.1f} s and its start")
        await asyncio.sleep(happening.lasts)
        await self._start_broker()
        self._broker_is_away = False

    async def _start_broker(self) -> None:
        """On a busy machine a start may take longer than it may: then once more. Raises BrokerFailed."""
        try:
            await asyncio.to_thread(self._broker.start)
        except BrokerFailed as error:
            self._say(f"the broker did not start: {error}")
            await asyncio.to_thread(self._broker.start)
        self._say("the broker is back")

    async def _victim(self, happening: Happening) -> Member:
        """Pick a member that nothing is being done to; wait while there is none."""
        while not (free := self._crew.free()):
            await asyncio.sleep(_LOOK_SECONDS)
        return free[min(len(free) - 1, int(happening.victim * len(free)))]

    def _tell(self, happening: Happening, what: str) -> None:
        self.done[happening.kind] += 1
        self._say(f"{happening.kind} {what}")
