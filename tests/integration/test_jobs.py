"""Summaries and strengths on a real broker: floods, kills, failures. Each reflects the last state, none comes twice."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random

import pytest

from consumer.analysis.task import Kind, Task
from consumer.engines.contract import Answer, Fault
from consumer.errors import DeadLetter
from schemas.codec import encode_document
from schemas.results import RestaurantStrengths, RestaurantSummary, SentimentTotals
from tests.integration.scripted import ScriptedEngine, review
from tests.integration.world import PATIENCE, World

RESTAURANTS = 8


def praising(task: Task, _time: int) -> Answer | Fault | None:
    """Every review of a portion praises the food: counts must come out as many as there are reviews."""
    if task.kind is not Kind.SUMMARY:
        return None
    numbers = list(range(1, len(task.reviews) + 1))
    aspects = [{"aspect": "food", "claim": "음식이 맛있습니다.", "reviews": numbers}] if numbers else []
    text = {"overall_summary": "음식이 좋습니다.", "positive_aspects": aspects, "negative_aspects": []}
    return Answer(text=encode_document(text).decode())


async def until(found: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(PATIENCE):
        while not await found():
            await asyncio.sleep(0.3)


async def settled(world: World) -> bool:
    """Whether every restaurant's last summary counts what its totals count, and its strengths come from it."""
    names = world.settings.topics
    totals = await world.latest(names.totals, SentimentTotals)
    summaries = await world.latest(names.summary, RestaurantSummary)
    by_group = await world.latest(names.by_group, RestaurantSummary)
    strengths = await world.latest(names.strength, RestaurantStrengths)
    for key, total in totals.items():
        made = summaries.get(key)
        if (made.review_count if made else 0) != (total.total_count if total else 0):
            return False
        if (
            total
            and made
            and (made.positive_count, made.negative_count) != (total.positive_count, total.negative_count)
        ):
            return False
    versions = {key: made.version if made else None for key, made in by_group.items()}
    return bool(totals) and versions == {key: made.version if made else None for key, made in strengths.items()}


async def ids(world: World, topic: str) -> Counter[bytes]:
    """How often each ce_id of a topic was read."""
    return Counter(dict(record.headers)["ce_id"] for record in await world.read(topic) if record.value is not None)


async def test_a_restaurant_with_thousands_of_new_reviews_holds_nobody_up(world: World) -> None:
    """The others' summaries come while its rounds go on; in the end each of its reviews is counted once."""
    world.tuned("jobs", summary_min_reviews=10, summary_max_age_seconds=3600)
    flood, engine = 3000, ScriptedEngine(praising)
    await world.send([review("flood", n) for n in range(flood)])
    names = world.settings.topics

    async def others_are_there() -> bool:
        found = await world.latest(names.summary, RestaurantSummary)
        return {str(n).encode() for n in range(RESTAURANTS)} <= set(found)

    async with world.running(engine):
        await world.until_answered(flood)
        await world.send([review(n % RESTAURANTS, n) for n in range(10 * RESTAURANTS)])
        await until(others_are_there)

        async def all_of_it_is_read() -> bool:
            made = (await world.latest(names.summary, RestaurantSummary)).get(b"flood")
            return bool(made and [a.support_count for a in made.positive_aspects] == [flood])

        await until(all_of_it_is_read)
    assert set((await ids(world, names.summary)).values()) == {1}


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
async def test_kills_in_the_middle_leave_every_summary_and_strength_as_its_last_state_says(
    world: World, delivery: str
) -> None:
    """New reviews, edits and deletions while members die; in exactly_once no job's output comes twice."""
    world.tuned("delivery", delivery=delivery)
    world.tuned("jobs", summary_min_reviews=20, summary_max_age_seconds=0.5, strength_refresh_members=2)
    chance, names = Random(7), world.settings.topics
    words: dict[tuple[int, int], str | None] = {}
    sent = 0
    for life in range(4):
        engine = ScriptedEngine(praising)
        task = asyncio.create_task(world.member(engine).service.run())
        for _ in range(3):
            sent += await world.send(_changes(chance, words, 120))
            await asyncio.sleep(0.7)
        if life < 3:
            await world.until_answered(sent // 2)
            await world.kill(task)
    try:
        await world.until_answered(sent)
        await until(lambda: settled(world))
    finally:
        await world.kill(task)
    for summary in (await world.latest(names.summary, RestaurantSummary)).values():
        aspects = (*summary.positive_aspects, *summary.negative_aspects) if summary else ()
        for evidence in (e for aspect in aspects for e in aspect.evidence):
            assert summary
            assert evidence.quote == words[int(summary.restaurant_id), int(evidence.review_id or 0)]
    if delivery == "exactly_once":
        for topic in (names.summary, names.strength):
            assert set((await ids(world, topic)).values()) == {1}


def _changes(chance: Random, words: dict[tuple[int, int], str | None], count: int) -> list[tuple[bytes, bytes]]:
    """Reviews new, edited and deleted; a deleted one stays so."""
    made = []
    for number in range(count):
        restaurant, which = chance.randrange(RESTAURANTS), chance.randrange(30)
        if words.get((restaurant, which), "") is None:
            continue
        content = None if chance.random() < 0.15 else f"리뷰 {len(words)} {number} {chance.random()}"
        words[restaurant, which] = content
        event = {"review_id": which, "restaurant_id": restaurant, "content": content, "comparison_group": "g"}
        made.append((str(restaurant).encode(), encode_document(event)))
    return made


async def test_a_restart_makes_no_strength_anew(world: World) -> None:
    """Nothing has changed: the engine is asked nothing."""
    await world.send([review(n % RESTAURANTS, n, comparison_group="g") for n in range(100)])
    async with world.running(ScriptedEngine(praising)):
        await world.until_answered(100)
        await until(lambda: settled(world))
        await asyncio.sleep(2 * world.settings.jobs.summary_max_age_seconds)  # others' changes are taken in
    before = await ids(world, world.settings.topics.strength)
    asked: list[Task] = []

    def nothing(task: Task, _time: int) -> Answer | Fault | None:
        asked.append(task)
        return None

    async with world.running(ScriptedEngine(nothing)) as member:
        await until_open(member)
        await asyncio.sleep(2)
    assert asked == []
    assert await ids(world, world.settings.topics.strength) == before


async def until_open(member: object) -> None:
    """Wait until all lanes are open."""

    async def is_open() -> bool:
        workers = list(member.service.workers.values())  # type: ignore[attr-defined]
        return len(workers) == 6 and all(worker.restored for worker in workers)

    await until(is_open)


async def test_a_parked_restaurant_starts_over_with_its_next_review(world: World) -> None:
    """Its reviews were answered all the while; a restart does not try it again."""
    world.tuned("jobs", job_max_attempts=2, job_retry_seconds=0.2, job_retry_max_seconds=0.2)
    tried: Counter[str] = Counter()

    def failing(task: Task, time: int) -> Answer | Fault | None:
        if task.kind is Kind.SUMMARY:
            tried[task.reviews[0]] += 1
            return DeadLetter("engine_refused", "not today")
        return praising(task, time)

    await world.send([review(1, n, "처음") for n in range(5)])
    for times in (2, 2):
        async with world.running(ScriptedEngine(failing)):
            await world.until_answered(5)
            await asyncio.sleep(3)
        assert tried == {"처음": times}
    await world.send([review(1, 9)])
    async with world.running(ScriptedEngine(praising)):
        await until(lambda: settled(world))
