"""Engines and topics that fail, on a real broker: what is tried again, what becomes a dead letter, and what stops."""

import asyncio
import json
import zlib
from collections import Counter

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from consumer.analysis.task import Kind, Task
from consumer.engines.contract import Answer, Fault
from consumer.errors import RetryLater
from deploy.kafka.sources import Kafka
from schemas.results import RestaurantSummary, SentimentTotals
from tests.integration.scripted import ScriptedEngine, review
from tests.integration.world import World, until

COUNT = 400


@pytest.fixture
async def world(kafka: Kafka, topic_prefix: str) -> World:
    """Topics and a group of this test's own, with two partitions; pauses are short."""
    made = World(kafka.bootstrap_servers, topic_prefix, partitions=2)
    made.tuned("breaker", probe_seconds=0.05, probe_max_seconds=0.2)
    await made.create()
    return made


def chance(text: str, time: int, percent: int) -> bool:
    """By chance, the same in every run."""
    return zlib.crc32(f"{text}/{time}".encode()) % 100 < percent


async def test_an_engine_that_fails_3_requests_in_10_costs_no_record_anything(world: World) -> None:
    """Each is tried again until it succeeds; what succeeded is not."""
    world.tuned("retries", max_attempts=20)

    def script(task: Task, time: int) -> Answer | Fault | None:
        failed = task.kind is Kind.SENTIMENT and chance(task.reviews[0], time, 30)
        return RetryLater("status 500") if failed else None

    engine = ScriptedEngine(script)
    await world.send([review(n % 7, n) for n in range(COUNT)])
    async with world.running(engine):
        results, letters = await world.until_answered(COUNT)
    assert letters == []
    assert Counter(r.review_id for r in results) == Counter(range(COUNT))
    assert engine.asked == {f"리뷰 {n}": _first_success(f"리뷰 {n}") for n in range(COUNT)}


def _first_success(text: str) -> int:
    return next(time for time in range(1, 100) if not chance(text, time, 30))


async def test_an_engine_that_fails_3_requests_in_10_with_few_attempts(world: World) -> None:
    """A dead letter is exactly who failed each time, with its attempts; the share of them stops nothing."""

    def script(task: Task, time: int) -> Answer | Fault | None:
        failed = task.kind is Kind.SENTIMENT and chance(task.reviews[0], time, 30)
        return RetryLater("status 500") if failed else None

    unlucky = {n for n in range(COUNT) if all(chance(f"리뷰 {n}", time, 30) for time in (1, 2, 3))}
    await world.send([review(n % 7, n) for n in range(COUNT)])
    async with world.running(ScriptedEngine(script)) as member:
        results, letters = await world.until_answered(COUNT)
        assert member.health.ready()[0]
    assert {letter.reason for letter in letters} == {"engine_error"}
    assert {dict(letter.headers)["dlq.attempts"] for letter in letters} == {b"3"}
    assert sorted(letter.value or b"" for letter in letters) == sorted(review(n % 7, n)[1] for n in unlucky)
    assert Counter(r.review_id for r in results) == Counter(set(range(COUNT)) - unlucky)


async def test_an_engine_whose_answers_are_invalid_1_in_5_is_asked_once_more_and_stricter(world: World) -> None:
    """An answer that stays invalid is a dead letter after two attempts; a summary's is asked for again as well."""
    strict: list[Task] = []

    def script(task: Task, time: int) -> Answer | Fault | None:
        if task.strict:
            strict.append(task)
        if task.kind is Kind.SUMMARY:
            return None if task.strict else Answer(text='{"overall_summary": "맛있')
        invalid = task.kind is Kind.SENTIMENT and chance(task.reviews[0], time, 20)
        return Answer(label_logprobs={}) if invalid else None

    world.tuned("jobs", summary_min_reviews=50, summary_max_age_seconds=3600.0, job_retry_seconds=600.0)
    unlucky = {n for n in range(COUNT) if all(chance(f"리뷰 {n}", time, 20) for time in (1, 2))}
    once = {n for n in range(COUNT) if chance(f"리뷰 {n}", 1, 20)}
    await world.send([review(n % 7, n) for n in range(COUNT)])
    async with world.running(ScriptedEngine(script)):
        results, letters = await world.until_answered(COUNT)
        async with asyncio.timeout(30):
            while len(await world.latest(world.settings.topics.summary, RestaurantSummary)) < 7:
                await asyncio.sleep(0.2)
    assert sorted(letter.value or b"" for letter in letters) == sorted(review(n % 7, n)[1] for n in unlucky)
    assert {(letter.reason, dict(letter.headers)["dlq.attempts"]) for letter in letters} == {("invalid_answer", b"2")}
    assert Counter(r.review_id for r in results) == Counter(set(range(COUNT)) - unlucky)
    asked = Counter(task.reviews[0] for task in strict if task.kind is Kind.SENTIMENT)
    assert asked == Counter(f"리뷰 {n}" for n in once)


async def test_a_review_that_hangs_is_alone_a_dead_letter(world: World) -> None:
    """After its time and its retries; all others, of its batch and behind it, have their results long before."""
    seconds = 0.4
    world.tuned("engine", engine_request_timeout_seconds=seconds)
    engine = ScriptedEngine(unanswered=lambda task: task.kind is Kind.SENTIMENT and "멈춤" in task.reviews[0])
    hanging = review(3, 1000, "멈춤")
    records = [review(n % 7, n) for n in range(COUNT)]
    sent = await world.send([*records[:200], hanging, *records[200:]])
    began = asyncio.get_running_loop().time()
    async with world.running(engine) as member:
        results, letters = await world.until_answered(sent)
        assert asyncio.get_running_loop().time() - began >= 3 * seconds
        assert member.health.ready()[0]
    assert [(letter.value, letter.reason) for letter in letters] == [(hanging[1], "engine_timeout")]
    assert dict(letters[0].headers)["dlq.attempts"] == b"3"
    assert dict(letters[0].headers)["dlq.error"] == b"no answer within 0.4 s"
    assert Counter(r.review_id for r in results) == Counter(range(COUNT))
    assert set(engine.asked.values()) == {1}
    assert await world.committed() == sent


async def test_when_most_records_fail_in_the_engine_no_more_are_taken_until_a_probe_succeeds(world: World) -> None:
    """Readiness says why, polling goes on, few dead letters are made, and all the rest is answered in the end."""
    ill = True

    def script(task: Task, _time: int) -> Answer | Fault | None:
        return RetryLater("status 500") if ill and task.kind is Kind.SENTIMENT else None

    world.tuned("lanes", lane_max_records=200, poll_max_records=50)
    bad = [(str(n % 7).encode(), b"not json") for n in range(300)]
    await world.send(bad + [review(n % 7, n) for n in range(COUNT)])
    async with world.running(ScriptedEngine(script)) as member:
        await until(lambda: "engine: status 500" in member.health.ready()[1])
        await asyncio.sleep(0.5)  # while it lasts: only probes are sent, and partitions are paused
        assert member.health.live()[0]
        assert member.service._source.paused() == set(member.service.workers)
        assert "engine: status 500" in member.health.ready()[1]
        ill = False
        results, letters = await world.until_answered(300 + COUNT)
        await until(lambda: member.health.ready()[0])
    reasons = Counter(letter.reason for letter in letters)
    assert reasons["not_json"] == 300
    assert reasons["engine_error"] == 19
    assert len(results) == COUNT - 19
    assert len({r.review_id for r in results}) == len(results)


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
async def test_when_kafka_refuses_most_results_no_more_are_taken_until_a_probe_succeeds(
    world: World, delivery: str
) -> None:
    """A topic that takes nothing is our fault: a few dead letters, then nothing but probes, then everything."""
    world.tuned("delivery", delivery=delivery)
    await _limit(world, world.settings.topics.sentiment, 100)
    await world.send([review(n % 7, n) for n in range(COUNT)])
    async with world.running(ScriptedEngine()) as member:
        await until(lambda: any(reason.startswith("publishing: ") for reason in member.health.ready()[1]))
        await asyncio.sleep(1)
        assert len(await world.letters()) <= COUNT // 8  # fewer than open it, and a probe now and then
        await _limit(world, world.settings.topics.sentiment, 1_000_000)
        results, letters = await world.until_answered(COUNT)
        await until(lambda: member.health.ready()[0])
    assert {letter.reason for letter in letters} <= {"output_refused"}
    answered = Counter(r.review_id for r in results)
    dead = {json.loads(letter.value or b"")["review_id"] for letter in letters}
    assert answered.keys() | dead == set(range(COUNT))
    if delivery == "exactly_once":
        assert set(answered.values()) == {1}
        assert not answered.keys() & dead
    totals = await world.latest(world.settings.topics.totals, SentimentTotals)
    assert sum(t.total_count for t in totals.values() if t) == COUNT - len(dead)


async def _limit(world: World, topic: str, size: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=world.settings.kafka.bootstrap_servers)
    await admin.start()
    try:
        configs = {"max.message.bytes": str(size)}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=configs)])
    finally:
        await admin.close()
