"""The result cache: what is kept and under what, equal items run once, leaders hand over, faults stay alone."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import fields, replace

import pytest
from pydantic import SecretStr

from consumer.analysis.task import AspectName, Claim, Kind, Task
from consumer.cache.engine import CachingEngine
from consumer.cache.keys import Identity, key_of
from consumer.cache.memory import ENTRY_BYTES, MemoryCache
from consumer.cache.values import answer_of, value_of
from consumer.engines.contract import Answer, Deliver, Fault, Prepared
from consumer.engines.local.engine import LocalEngine
from consumer.errors import ConfigError, DeadLetter, EngineDown, RetryLater
from consumer.hooks.events import Event, Hooks
from consumer.pipeline import assembly
from consumer.settings import Settings, load
from schemas.base import Sentiment
from tests.contract.engine_suite import Delivered, sentiment
from tests.integration.scripted import ScriptedEngine

BUDGET = 4000
IDENTITY = Identity("vllm", "qwen+adapter", '{"dtype": "float16"}')
SUMMARY = Task(Kind.SUMMARY, "ko", ("맛있어요", "친절해요"))


def prepared(task: Task, prefix: str = "sentiment/1") -> Prepared:
    """A task as an engine prepares it."""
    return Prepared(task, 10, prefix, 0, truncated=False)


class Bench:
    """A cache around a scripted engine, and what it told."""

    def __init__(self, engine: ScriptedEngine, max_bytes: int = 1_000_000) -> None:
        self.inner, self.events = engine, list[Event]()
        self.memory = MemoryCache(max_bytes)
        self.engine = CachingEngine(engine, IDENTITY, self.memory, None, Hooks([self.events.append]))

    async def ask(self, *texts: str) -> Delivered:
        """Labels of these texts, asked as one batch."""
        return await self.run(await self.engine.prepare([sentiment(text) for text in texts], BUDGET))

    async def run(self, batch: Sequence[Prepared]) -> Delivered:
        """One batch."""
        delivered = Delivered()
        await self.engine.run(batch, delivered)
        return delivered

    @asynccontextmanager
    async def asking(self, *texts: str) -> AsyncIterator["asyncio.Task[Delivered]"]:
        """The same, on its way into the engine, whose gate is closed until somebody opens it."""
        self.inner.gate.clear()
        before = self.inner.most_at_once
        task = asyncio.create_task(self.ask(*texts))
        while self.inner.most_at_once == before and not task.done():
            await asyncio.sleep(0)
        try:
            yield task
        finally:
            self.inner.gate.set()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def told(self) -> list[str]:
        """How each item was answered, in order."""
        return [event.reason for event in self.events]


async def test_what_was_answered_is_not_asked_again_and_weighs_nothing() -> None:
    """Marked as cached, with the engine's own numbers."""
    bench = Bench(ScriptedEngine())
    (first,) = (await bench.ask("맛있어요")).answers()
    batch = await bench.engine.prepare([sentiment("맛있어요"), sentiment("별로예요")], BUDGET)
    assert batch[0].own_tokens + batch[0].prefix_tokens == 1
    again, _ = (await bench.run(batch)).answers()
    assert (first.cached, again.cached) == (False, True)
    assert again.label_logprobs == first.label_logprobs
    assert bench.inner.asked == {"맛있어요": 1, "별로예요": 1}
    assert bench.told() == ["asked", "kept", "asked"]


async def test_equal_items_of_one_batch_run_once() -> None:
    """Each is answered."""
    bench = Bench(ScriptedEngine())
    answers = (await bench.ask("굿", "굿", "별로", "굿")).answers()
    assert [answer.cached for answer in answers] == [False, True, False, True]
    assert bench.inner.asked == {"굿": 1, "별로": 1}


async def test_equal_items_of_two_batches_run_once() -> None:
    """The second batch waits for the first one's answer, and its other items do not."""
    bench = Bench(ScriptedEngine())
    async with bench.asking("굿") as first:
        second = asyncio.create_task(bench.ask("굿", "별로"))
        for _ in range(5):
            await asyncio.sleep(0)
        bench.inner.gate.set()
        assert [answer.cached for answer in (await second).answers()] == [True, False]
        assert [answer.cached for answer in (await first).answers()] == [False]
    assert bench.inner.asked == {"굿": 1, "별로": 1}


async def test_a_cancelled_leader_hands_over() -> None:
    """Whoever waited asks itself; of many one alone."""
    bench = Bench(ScriptedEngine())
    async with bench.asking("굿") as first:
        others = [asyncio.create_task(bench.ask("굿", "굿")) for _ in range(3)]
        for _ in range(5):
            await asyncio.sleep(0)
        first.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        bench.inner.gate.set()
        answers = [answer for other in others for answer in (await other).answers()]
    assert len(answers) == 6
    assert [answer.cached for answer in answers].count(False) == 1
    assert bench.inner.asked == {"굿": 1}


async def test_a_cancelled_follower_disturbs_nobody() -> None:
    """Neither the leader nor other followers."""
    bench = Bench(ScriptedEngine())
    async with bench.asking("굿") as first:
        gone, stays = (asyncio.create_task(bench.ask("굿")) for _ in range(2))
        for _ in range(5):
            await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        bench.inner.gate.set()
        assert (await first).answers()
        assert (await stays).answers()[0].cached
    assert bench.inner.asked == {"굿": 1}


@pytest.mark.parametrize("fault", [RetryLater("later"), DeadLetter("engine_error", "never"), Answer(text="{")])
async def test_a_fault_is_its_items_own_and_is_not_kept(fault: Fault | Answer) -> None:
    """The equal item is asked itself; so is the same one the next time. An answer that cannot be read is as good."""
    bench = Bench(ScriptedEngine(lambda _task, time: fault if time == 1 else None))
    delivered = await bench.ask("굿", "굿")
    assert delivered.outcomes[0] == fault
    assert isinstance(delivered.outcomes[1], Answer)
    assert not delivered.outcomes[1].cached
    assert bench.inner.asked == {"굿": 2}
    assert (await bench.ask("굿")).answers()[0].cached


async def test_an_engine_that_dies_ends_those_that_wait_too() -> None:
    """They ask it themselves, and hear it from it."""
    bench = Bench(ScriptedEngine())

    async def dies(_batch: Sequence[Prepared], _deliver: object) -> None:
        await bench.inner.gate.wait()
        raise EngineDown("gone")

    bench.inner.gate.clear()
    bench.inner.run = dies  # type: ignore[method-assign, assignment]
    asked = [asyncio.create_task(bench.ask("굿")) for _ in range(3)]
    await asyncio.sleep(0.01)
    bench.inner.gate.set()
    assert [type(outcome) for outcome in await asyncio.gather(*asked, return_exceptions=True)] == [EngineDown] * 3
    assert len(bench.engine._flights) == 0


async def test_a_stopped_engine_takes_nothing_though_all_is_known() -> None:
    """Its caller is to learn of it."""
    bench = Bench(ScriptedEngine())
    await bench.ask("굿")
    batch = await bench.engine.prepare([sentiment("굿")], BUDGET)
    await bench.engine.stop()
    with pytest.raises(EngineDown):
        await bench.run(batch)


def test_the_key_holds_all_that_decides_an_answer() -> None:
    """One change, another key; the same again, the same key."""
    base = prepared(sentiment("굿"))
    claims = (Claim("positive", AspectName.FOOD, "맛있다.", 3),)
    keys = [
        key_of(IDENTITY, base),
        key_of(IDENTITY, prepared(sentiment("굿"), "sentiment-letters/1")),
        key_of(IDENTITY, prepared(sentiment("굿 "))),
        key_of(replace(IDENTITY, engine="openai"), base),
        key_of(replace(IDENTITY, model="qwen"), base),
        key_of(replace(IDENTITY, detail='{"dtype": "bfloat16"}'), base),
        key_of(IDENTITY, prepared(SUMMARY)),
        key_of(IDENTITY, prepared(replace(SUMMARY, language="en"))),
        key_of(IDENTITY, prepared(replace(SUMMARY, reviews=("맛있어요친절해요",)))),
        key_of(IDENTITY, prepared(replace(SUMMARY, claims=claims))),
        key_of(IDENTITY, prepared(Task(Kind.STRENGTH, "ko", claims=claims))),
        key_of(IDENTITY, prepared(Task(Kind.STRENGTH, "ko", claims=claims, background="다른 곳"))),
        key_of(IDENTITY, prepared(Task(Kind.COMPARISON, "ko", claims=claims))),
    ]
    assert len(set(keys)) == len(keys)
    assert key_of(Identity("vllm", "qwen+adapter", '{"dtype": "float16"}'), prepared(sentiment("굿"))) == keys[0]


OTHERWISE = {
    "kind": Kind.COMPARISON,
    "language": "en",
    "reviews": ("맛있어요",),
    "claims": (Claim("positive", AspectName.FOOD, "맛있다.", 3),),
    "background": "다른 곳",
    "leanings": ("positive", None),
    "strict": True,
}


@pytest.mark.parametrize("part", [its.name for its in fields(Task)])
def test_every_part_of_a_task_counts(part: str) -> None:
    """What is known of its reviews beforehand too. An answer to a stricter instruction is one to the same question."""
    changed = replace(SUMMARY, **{part: OTHERWISE[part]})  # type: ignore[arg-type]
    assert (key_of(IDENTITY, prepared(changed)) == key_of(IDENTITY, prepared(SUMMARY))) == (part == "strict")


def test_a_new_prompt_version_is_a_new_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Old answers are to old questions."""
    before = key_of(IDENTITY, prepared(sentiment("굿")))
    monkeypatch.setattr("consumer.analysis.prompts._VERSIONS", {Kind.SENTIMENT: 2})
    assert key_of(IDENTITY, prepared(sentiment("굿"))) != before


@pytest.mark.parametrize(
    "answer",
    [
        Answer(label_logprobs={Sentiment.POSITIVE: -0.25, Sentiment.NEGATIVE: float("-inf")}),
        Answer(label=Sentiment.NEUTRAL, truncated=True),
    ],
)
def test_an_answer_comes_back_as_it_was(answer: Answer) -> None:
    """But for the engine's counters, and with the mark."""
    task = sentiment("굿")
    value = value_of(task, answer)
    assert value is not None
    assert answer_of(task, value) == replace(answer, cached=True)


@pytest.mark.parametrize("value", [b"", b"[]", b"\\xff", b"{}", b'{"label":"angry"}', b'{"logprobs":{"positive":"x"}}'])
def test_what_others_wrote_is_no_answer(value: bytes) -> None:
    """A shared cache may hold anything."""
    assert answer_of(sentiment("굿"), value) is None


def test_memory_is_bounded_by_bytes_and_the_least_lately_used_goes() -> None:
    """What is larger than all of it is not kept at all."""
    memory = MemoryCache(3 * (ENTRY_BYTES + 10))
    for key in (b"a", b"b", b"c"):
        memory.put(key, b"x" * 10)
    assert memory.get(b"a")
    memory.put(b"d", b"x" * 10)
    assert [memory.get(key) is not None for key in (b"a", b"b", b"c", b"d")] == [True, False, True, True]
    memory.put(b"huge", b"x" * 10_000)
    assert memory.get(b"huge") is None
    assert memory.size <= 3 * (ENTRY_BYTES + 10)


async def test_a_full_memory_forgets_and_goes_on() -> None:
    """What was forgotten is asked again."""
    bench = Bench(ScriptedEngine(), max_bytes=5 * (ENTRY_BYTES + 100))
    for _ in range(2):
        for n in range(20):
            await bench.ask(f"리뷰 {n}")
    assert len(bench.memory) <= 6
    assert bench.inner.asked["리뷰 3"] == 2


def _settings(**service: object) -> Settings:
    settings = load()
    return settings.model_copy(update={"service": settings.service.model_copy(update=service)})


def test_any_engine_is_cached_but_the_embedded_one_and_where_no_memory_is_given() -> None:
    """Which answers faster than a cache looks up."""
    assert isinstance(assembly._cached(_settings(), ScriptedEngine(), Hooks()), CachingEngine)
    assert isinstance(assembly._cached(_settings(), LocalEngine(), Hooks()), LocalEngine)
    assert isinstance(assembly._cached(_settings(cache_max_bytes=0), ScriptedEngine(), Hooks()), ScriptedEngine)


def test_a_redis_url_that_is_none_stops_the_start() -> None:
    """Its value stays secret: it may hold a password."""
    with pytest.raises(ConfigError, match=r"REDIS_URL=\(secret\)") as caught:
        assembly._cached(_settings(redis_url=SecretStr("http://user:hunter2@x")), ScriptedEngine(), Hooks())
    assert "hunter2" not in str(caught.value)


async def test_the_trace_of_who_asks_goes_through_and_is_no_part_of_the_key() -> None:
    """The engine behind sends it on; the next trace finds the same answer."""
    seen: list[str | None] = []

    class Tracing(ScriptedEngine):
        async def run(self, batch: Sequence[Prepared], deliver: Deliver) -> None:
            seen.extend(its.trace for its in batch)
            await super().run(batch, deliver)

    bench = Bench(Tracing())
    for trace in ("00-a", "00-b"):
        batch = await bench.engine.prepare([sentiment("맛있어요")], BUDGET)
        await bench.run([replace(batch[0], trace=trace)])
    assert seen == ["00-a"]
    assert bench.told() == ["asked", "kept"]
