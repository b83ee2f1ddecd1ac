"""The service on a real broker while its engine dies, refuses, or is late: records wait, and none is blamed for it."""

import asyncio
from collections import Counter

import pytest

from consumer.analysis.task import Kind, Task
from consumer.errors import EngineDown, EngineUnavailable
from schemas.codec import encode_document
from tests.integration.mortal import MortalEngine
from tests.integration.world import World, until


def review(restaurant: int, number: int, content: str | None = None) -> tuple[bytes, bytes]:
    """A review event and its key."""
    event = {"review_id": number, "restaurant_id": restaurant, "content": content or f"리뷰 {number}"}
    return str(restaurant).encode(), encode_document(event)


def is_poison(task: Task) -> bool:
    """A review that kills the engine, when its sentiment is asked for."""
    return task.kind is Kind.SENTIMENT and "독" in "".join(task.reviews)


async def test_invariant_6_a_record_that_kills_every_engine_is_alone_a_dead_letter(world: World) -> None:
    """All others are answered exactly once, no attempt is counted; not ready during the outage, ready after."""
    poison = review(3, 1000, "독")
    sent = await world.send([*(review(n % 7, n) for n in range(3)), poison, *(review(n % 7, n) for n in range(3, 300))])
    engine = MortalEngine(kills=is_poison)
    async with world.running(engine) as member:
        await until(lambda: bool(engine.starts))
        engine.may_start.clear()
        await until(lambda: bool(engine.deaths))
        await until(lambda: "engine: killed" in member.health.ready()[1])
        assert member.health.live()[0]
        assert len(engine.deaths[0]) > 1
        engine.may_start.set()
        results, letters = await world.until_answered(sent)
        await until(lambda: member.health.ready()[0])
        assert engine.asked.total() == sent - 1
    assert [(letter.reason, letter.value) for letter in letters] == [("engine_killer", poison[1])]
    assert Counter(r.review_id for r in results) == Counter(range(300))
    assert set(engine.asked.values()) == {1}
    assert await world.committed() == sent


async def test_an_engine_that_is_away_is_waited_for(world: World) -> None:
    """At the start, before partitions are taken, and later; the member stays in its group and nothing is lost."""
    engine = MortalEngine(start_errors=[EngineUnavailable("no route", 0.2)] * 5)
    sent = await world.send([review(n % 7, n) for n in range(100)])
    async with world.running(engine) as member:
        await until(lambda: member.health.ready() == (False, ("starting", "engine: no route")))
        assert member.health.live()[0]
        assert not member.service.workers
        await world.until_answered(sent)
        engine.refusals = [EngineUnavailable("no route", 0.2)] * 10
        sent += await world.send([review(n % 7, n) for n in range(100, 200)])
        await until(lambda: "engine: no route" in member.health.ready()[1])
        results, letters = await world.until_answered(sent)
        await until(lambda: member.health.ready()[0])
    assert letters == []
    assert Counter(r.review_id for r in results) == Counter(range(200))
    assert set(engine.asked.values()) == {1}
    assert engine.starts == 6


async def test_a_service_that_waits_for_its_engine_can_be_stopped(world: World) -> None:
    """However long the engine would take."""
    member = world.member(MortalEngine(start_errors=[EngineUnavailable("no route", 3600)]))
    task = asyncio.create_task(member.service.run())
    await until(lambda: "engine: no route" in member.health.ready()[1])
    member.service.stop()
    await asyncio.wait_for(task, 10)


async def test_an_engine_that_never_starts_ends_the_service(world: World) -> None:
    """It takes no partition from anybody."""
    world.tuned("engine", engine_max_restarts=3)
    member = world.member(MortalEngine(start_errors=[EngineDown("no memory")] * 9))
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(member.service.run(), 30)
    assert caught.group_contains(EngineDown, match="no memory")
    assert not member.service.workers
