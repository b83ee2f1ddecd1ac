"""The faults: how each begins and ends, and which alerts must see it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from tests.integration.scripted import ScriptedEngine
from tests.ops.engine import Mood
from tests.ops.stage import Stage

STATE_BYTES: Final = 96 * 1024
"""How large a file may become where the disk is full: less than a lane's state."""
STAY_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Fault:
    """`present`: it is there while inside; `alerts`: all of them must fire meanwhile."""

    name: str
    how: str
    present: Callable[[Stage], AbstractAsyncContextManager[None]]
    alerts: frozenset[str]


def _mood(mood: Mood) -> Callable[[Stage], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def present(stage: Stage) -> AsyncIterator[None]:
        stage.mood(mood)
        try:
            yield
        finally:
            stage.mood(Mood.CALM)

    return present


@asynccontextmanager
async def _kafka_down(stage: Stage) -> AsyncIterator[None]:
    await asyncio.to_thread(stage.broker.kill)
    try:
        yield
    finally:
        await asyncio.to_thread(stage.broker.start)


@asynccontextmanager
async def _slow_restaurant(stage: Stage) -> AsyncIterator[None]:
    stage.traffic.slow = True
    try:
        yield
    finally:
        stage.traffic.slow = False


@asynccontextmanager
async def _poison(stage: Stage) -> AsyncIterator[None]:
    stage.traffic.poison = True
    try:
        yield
    finally:
        stage.traffic.poison = False


@asynccontextmanager
async def _rebalances(stage: Stage) -> AsyncIterator[None]:
    """A second member comes and goes, as one that crashes again and again, or scaling that cannot make up its mind."""

    async def come_and_go() -> None:
        while True:
            async with stage.world.running(ScriptedEngine()):
                await asyncio.sleep(STAY_SECONDS)
            await asyncio.sleep(STAY_SECONDS)

    task = asyncio.create_task(come_and_go(), name="comes and goes")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, BaseExceptionGroup):
            await task


@asynccontextmanager
async def _cache_down(stage: Stage) -> AsyncIterator[None]:
    await asyncio.to_thread(stage.redis.kill)
    try:
        yield
    finally:
        await asyncio.to_thread(stage.redis.start)


def _member_with(**variables: Callable[[Stage], str]) -> Callable[[Stage], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def present(stage: Stage) -> AsyncIterator[None]:
        before = {name: stage.member.environment.get(name) for name in variables}
        await stage.member.again(**{name: value(stage) for name, value in variables.items()})
        try:
            yield
        finally:
            await stage.member.again(**before)
            await stage.until_ready()

    return present


FAULTS: Final = (
    Fault(
        "engine dead",
        "every call and every start of it fails",
        _mood(Mood.DEAD),
        frozenset({"ReviewEngineDown", "ReviewConsumerNotReady"}),
    ),
    Fault(
        "engine slow",
        "a batch takes 8 s instead of 0.05 s",
        _mood(Mood.SLOW),
        frozenset({"ReviewEngineSlow"}),
    ),
    Fault(
        "Kafka down",
        "the broker is killed, and started again at the end",
        _kafka_down,
        frozenset({"ReviewConsumerNotReady"}),
    ),
    Fault(
        "one slow restaurant",
        "a review every 2 s takes 12 s in the engine, all of one restaurant",
        _slow_restaurant,
        frozenset({"ReviewPartitionBehind"}),
    ),
    Fault(
        "poison flood",
        "half of the records are no reviews",
        _poison,
        frozenset({"ReviewDeadLettersOfUpstream"}),
    ),
    Fault(
        "rebalance loop",
        "a second member joins and leaves without end",
        _rebalances,
        frozenset({"ReviewGroupRebalancesAgainAndAgain"}),
    ),
    Fault(
        "cache down",
        "Redis is killed, and started again at the end",
        _cache_down,
        frozenset({"ReviewSharedCacheDown"}),
    ),
    Fault(
        "small KV cache",
        "simulated: through the engine contract an engine tells of a KV cache 0.99 full and of preemptions",
        _mood(Mood.STARVED),
        frozenset({"ReviewEngineMemoryShort"}),
    ),
    Fault(
        "disk full for the state",
        "the member may write no file above 96 KiB (RLIMIT_FSIZE), on an empty STATE_DIR",
        _member_with(OPS_FILE_BYTES=lambda _: str(STATE_BYTES), STATE_DIR=lambda stage: str(stage.folder / "full")),
        frozenset({"ReviewConsumerRestarts"}),
    ),
    Fault(
        "wrong credentials",
        "the member is started with a password that the broker does not take",
        _member_with(
            KAFKA_BOOTSTRAP_SERVERS=lambda stage: stage.log_in_address,
            KAFKA_SECURITY_PROTOCOL=lambda _: "SASL_PLAINTEXT",
            KAFKA_SASL_USERNAME=lambda _: "reviews",
            KAFKA_SASL_PASSWORD=lambda _: "the-wrong-one",
        ),
        frozenset({"ReviewConsumerDown"}),
    ),
)
