"""The shared cache on a real Redis: members share answers; killed or frozen in the middle it costs nothing."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import SecretStr

from consumer.cache.engine import CachingEngine
from consumer.cache.keys import Identity
from consumer.cache.memory import MemoryCache
from consumer.cache.shared import WAIT_SECONDS, SharedCache
from consumer.hooks.events import Event, Hooks, What
from deploy.kafka.sources import Kafka
from tests.contract.engine_suite import Delivered, sentiment
from tests.integration.scripted import ScriptedEngine, review
from tests.integration.world import World
from tests.redis_server import RedisServer

BUDGET = 4000


class Member:
    """A scripted engine behind a cache of its own and the shared one, on a clock that a test sets."""

    def __init__(self, server: RedisServer) -> None:
        self.now, self.events, self.inner = 0.0, list[Event](), ScriptedEngine()
        hooks = Hooks([self.events.append])
        self.shared = SharedCache(server.url, hooks, clock=lambda: self.now, random=lambda: 0.0)
        self.engine = CachingEngine(self.inner, Identity("scripted", "1"), MemoryCache(1_000_000), self.shared, hooks)

    async def ask(self, *texts: str) -> list[bool]:
        """Labels of these texts as one batch; whether each came from a cache."""
        delivered = Delivered()
        await self.engine.run(await self.engine.prepare([sentiment(t) for t in texts], BUDGET), delivered)
        return [answer.cached for answer in delivered.answers()]

    async def until_up(self) -> None:
        """Ask until Redis has answered in time: on a busy machine it may take more than one."""
        async with asyncio.timeout(30):
            await self.ask("먼저")
            while self.shared._outage.reason:
                self.now += 60.0
                await self.ask(f"먼저 {self.now}")

    def told(self) -> list[What]:
        """What was said of the shared cache."""
        return [event.what for event in self.events if event.what in {What.CACHE_DOWN, What.CACHE_UP}]

    async def until_written(self, texts: int, server: RedisServer) -> None:
        """Wait until another member finds as many."""
        async with asyncio.timeout(10), member(server) as other:
            asked = [f"리뷰 {n}" for n in range(texts)]
            while sum(await other.ask(*asked)) < texts:
                await asyncio.sleep(0.01)


async def test_the_service_asks_each_text_once_and_marks_the_others(
    kafka: Kafka, topic_prefix: str, redis_server: RedisServer
) -> None:
    """Over two members, one after the other, with Redis killed in the middle: every review has its one result."""
    world = World(kafka.bootstrap_servers, topic_prefix, partitions=2)
    await world.create()
    world.tuned("service", cache_max_bytes=1_000_000, redis_url=SecretStr(redis_server.url))
    world.tuned("jobs", summary_min_reviews=10_000, summary_max_age_seconds=3600.0)
    first, second = ScriptedEngine(), ScriptedEngine()
    sent = await world.send(review(n % 5, n, f"리뷰 {n % 10}") for n in range(100))
    async with world.running(first):
        await world.until_answered(sent)
    assert set(first.asked.values()) == {1}
    sent += await world.send(review(n % 5, n, f"리뷰 {n % 10}") for n in range(100, 200))
    async with world.running(second):
        await world.until_answered(sent)
        redis_server.kill()
        sent += await world.send(review(n % 5, n, f"리뷰 {n % 20}") for n in range(200, 300))
        results, letters = await world.until_answered(sent)
    assert letters == []
    assert sorted(int(r.review_id) for r in results) == list(range(300))
    assert second.asked == {f"리뷰 {n}": 1 for n in range(10, 20)}
    assert sum(r.provenance.cached for r in results) == 300 - 20


@asynccontextmanager
async def member(server: RedisServer) -> AsyncIterator[Member]:
    """One that is started, and stopped."""
    made = Member(server)
    await made.engine.start()
    try:
        yield made
    finally:
        await made.engine.stop()


async def test_what_one_member_asked_no_other_asks(redis_server: RedisServer) -> None:
    """After it has been written, which nobody waits for."""
    texts = [f"리뷰 {n}" for n in range(300)]
    async with member(redis_server) as first:
        assert not any(await first.ask(*texts))
        await first.until_written(300, redis_server)
    async with member(redis_server) as second:
        assert all(await second.ask(*texts))
        assert not second.inner.asked


async def test_killed_in_the_middle_nothing_is_lost(redis_server: RedisServer) -> None:
    """Every item is answered; who is down is told once, is left alone, and is used again when it is back."""
    async with member(redis_server) as one:
        for n in range(40):
            if n == 20:
                redis_server.kill()
            assert len(await one.ask(*(f"리뷰 {n} {m}" for m in range(25)))) == 25
        assert sum(one.inner.asked.values()) == 1000
        assert one.told() == [What.CACHE_DOWN]
        redis_server.start()
        one.now = 100.0
        await one.ask("다시")
        assert one.told() == [What.CACHE_DOWN, What.CACHE_UP]


async def test_frozen_it_is_waited_for_once_a_pause(redis_server: RedisServer) -> None:
    """A Redis that takes connections and says nothing: one bounded wait, then none until the pause is over."""
    async with member(redis_server) as one:
        await one.until_up()
        redis_server.send(signal.SIGSTOP)
        waits = 0
        guarded = one.shared._guarded

        async def counted(seconds: float, ask: object) -> object:
            nonlocal waits
            waits += seconds == WAIT_SECONDS
            return await guarded(seconds, ask)  # type: ignore[arg-type]

        one.shared._guarded = counted  # type: ignore[method-assign]
        for n in range(50):
            await one.ask(f"리뷰 {n}")
        assert waits == 1
        one.now = 100.0
        for n in range(50):
            await one.ask(f"또 {n}")
        assert waits == 2
        redis_server.send(signal.SIGCONT)
        one.now = 1000.0
        await one.ask("끝")
        assert one.told() == [What.CACHE_DOWN, What.CACHE_UP]


async def test_one_that_is_not_there_at_the_start_stops_nobody(redis_server: RedisServer) -> None:
    """It may come later."""
    redis_server.kill()
    async with member(redis_server) as one:
        assert await one.ask("굿", "굿") == [False, True]
        redis_server.start()
        one.now = 100.0
        await one.ask("별로")
        assert one.told() == [What.CACHE_DOWN, What.CACHE_UP]


async def test_what_is_no_answer_there_is_asked(redis_server: RedisServer) -> None:
    """Somebody else wrote under our key, or an older version did."""
    async with member(redis_server) as one:
        await one.ask("리뷰 0")
        await one.until_written(1, redis_server)
        keys = await one.shared._redis.keys("review-consumer:*")
        assert keys
        for key in keys:
            await one.shared._redis.set(key, b"nonsense")
    async with member(redis_server) as two:
        assert await two.ask("리뷰 0") == [False]
