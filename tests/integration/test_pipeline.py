"""The service on a real broker: everything answered, in order, whatever the records, the engine or the group do."""

import asyncio
from collections import Counter, defaultdict
from datetime import UTC, datetime
from math import exp
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from consumer.analysis.calibration_file import CalibrationFile, Fit, save
from consumer.analysis.metrics import Figures
from consumer.analysis.prompts import prompt_id
from consumer.analysis.task import Kind, Task
from consumer.engines.contract import Answer, Fault
from consumer.errors import ConfigError, DeadLetter, EngineDown, RetryLater
from deploy.kafka.sources import Kafka
from schemas.codec import decode, encode_document
from schemas.results import RestaurantStrengths, RestaurantSummary, SentimentTotals
from tests.integration.mortal import MortalEngine
from tests.integration.scripted import ScriptedEngine, review
from tests.integration.world import World, until
from tests.kafka_broker import MakeBroker


@pytest.fixture
async def world(kafka: Kafka, topic_prefix: str) -> World:
    """Topics and a group of this test's own, with four partitions."""
    made = World(kafka.bootstrap_servers, topic_prefix, partitions=4)
    await made.create()
    return made


async def test_every_review_is_answered_once_and_in_order(world: World) -> None:
    """Sentiment per review, totals per restaurant, summaries and strengths; the offset is committed to the end."""
    sent = await world.send([review(n % 7, n, comparison_group="g") for n in range(700)])
    async with world.running(ScriptedEngine()):
        results, letters = await world.until_answered(sent)
        assert letters == []
        assert Counter(r.review_id for r in results) == Counter(range(700))
        order: dict[str | int, list[str | int]] = defaultdict(list)
        for result in results:
            order[result.restaurant_id].append(result.review_id)
        assert all(ids == sorted(ids, key=int) for ids in order.values())
        await _settled(world, restaurants=7)
    assert await world.committed() == sent
    totals = await world.latest(world.settings.topics.totals, SentimentTotals)
    assert {t.total_count for t in totals.values() if t} == {100}


async def test_labels_go_through_the_calibration(world: World, tmp_path: Path) -> None:
    """The engine leans towards positive by 2.4; a calibration that takes off 5 turns its labels round."""
    path = tmp_path / "calibration.json"
    figures = Figures(reviews=0, valid=0, accuracy=None, macro_f1=None, auc=None, calibration_error=None, confusion={})
    made = CalibrationFile(
        engine="scripted",
        model="scripted-1",
        prompt=prompt_id(Kind.SENTIMENT),
        slope=1,
        bias=-5,
        neutral_margin=0,
        created_at=datetime(2026, 3, 2, tzinfo=UTC),
        seed=0,
        fitted={},
        held_out=Fit(before=figures, after=figures),
    )
    save(path, made)
    world.tuned("engine", calibration_file=path)
    sent = await world.send([review(1, n) for n in range(20)])
    async with world.running(ScriptedEngine()):
        results, _ = await world.until_answered(sent)
    assert {result.sentiment for result in results} == {"negative"}
    assert results[0].score == pytest.approx(1 / (1 + exp(-2.6)))


async def _settled(world: World, restaurants: int) -> None:
    """Wait until each restaurant has its summary and its strengths."""
    names = world.settings.topics
    async with asyncio.timeout(30):
        while (
            len(await world.latest(names.summary, RestaurantSummary)) < restaurants
            or len(await world.latest(names.strength, RestaurantStrengths)) < restaurants
        ):
            await asyncio.sleep(0.2)


async def test_invariant_5_one_items_failure_is_that_items_alone(world: World) -> None:
    """A fault that passes is retried, one that stays is a dead letter; the others are asked once and go on."""

    def script(task: Task, time: int) -> Answer | Fault | None:
        text = "".join(task.reviews)
        if task.kind is Kind.SENTIMENT and "passes" in text and time < 3:
            return RetryLater("busy")
        if task.kind is Kind.SENTIMENT and "stays" in text:
            return RetryLater("busy for ever")
        if task.kind is Kind.SENTIMENT and "refused" in text:
            return DeadLetter("engine_refused", "not this one")
        return None

    engine = ScriptedEngine(script)
    special = [review(1, 1, "passes"), review(1, 2, "stays"), review(1, 3, "refused")]
    sent = await world.send(special + [review(1, n) for n in range(10, 60)])
    async with world.running(engine):
        results, letters = await world.until_answered(sent)
    assert sorted(letter.reason for letter in letters) == ["engine_error", "engine_refused"]
    attempts = {dict(letter.headers)["dlq.error"]: dict(letter.headers)["dlq.attempts"] for letter in letters}
    assert attempts == {b"busy for ever": b"3", b"not this one": b"1"}
    assert {letter.value for letter in letters} == {special[1][1], special[2][1]}
    assert len(results) == sent - 2
    assert engine.asked["passes"] == engine.asked["stays"] == 3
    assert {engine.asked[f"리뷰 {n}"] for n in range(10, 60)} == {1}


async def test_invariant_4_a_full_lane_pauses_and_the_member_stays(world: World) -> None:
    """With an engine that stands still, what is in flight is bounded, polling goes on, and nothing is lost."""
    world.tuned("lanes", lane_max_records=40, poll_max_records=10)
    world.tuned("batches", max_concurrent_batches=2)
    engine = ScriptedEngine()
    engine.gate.clear()
    sent = await world.send([review(n, n) for n in range(1000)])
    async with world.running(engine) as member:
        await until(lambda: engine.most_at_once > 0)
        await asyncio.sleep(world.settings.delivery.kafka_session_timeout_seconds + 2)
        assert member.health.live()[0]
        assert all(worker.fill().records <= 40 for worker in member.service.workers.values())
        assert await world.committed() == 0
        engine.gate.set()
        results, letters = await world.until_answered(sent)
    assert Counter(r.review_id for r in results) == Counter(range(1000))
    assert letters == []


async def test_a_graceful_stop_commits_what_is_done_and_the_next_start_repeats_nothing(world: World) -> None:
    """No result twice, none missing."""
    sent = await world.send([review(n % 5, n) for n in range(300)])
    async with world.running(ScriptedEngine()):
        await world.until_answered(100)
    more = await world.send([review(n % 5, n) for n in range(300, 400)])
    async with world.running(ScriptedEngine()):
        results, _ = await world.until_answered(sent + more)
    assert Counter(r.review_id for r in results) == Counter(range(400))


async def test_a_crash_loses_nothing(world: World) -> None:
    """At least once: after a crash in the middle every review has its result, some perhaps twice."""
    sent = await world.send([review(n % 5, n) for n in range(2000)])
    world.tuned("lanes", lane_max_records=100, poll_max_records=50)
    task = asyncio.create_task(world.member(ScriptedEngine()).service.run())
    await world.until_answered(200)
    await world.kill(task)
    async with world.running(ScriptedEngine()):
        async with asyncio.timeout(60):
            while {r.review_id for r in await world.results()} != set(range(sent)):
                await asyncio.sleep(0.2)
    assert await world.committed() == sent


async def test_a_second_member_takes_its_share(world: World) -> None:
    """A rebalance in the middle of the work loses nothing, and repeats nothing when it is drained."""
    world.tuned("lanes", lane_max_records=100, poll_max_records=50)
    sent = await world.send([review(n % 20, n) for n in range(1500)])
    first, second = ScriptedEngine(), ScriptedEngine()
    async with world.running(first) as one:
        await world.until_answered(100)
        async with world.running(second) as two:
            await until(lambda: bool(two.service.workers) and bool(one.service.workers))
            more = await world.send([review(n % 20, n) for n in range(1500, 3000)])
            results, letters = await world.until_answered(sent + more)
            names = world.settings.topics
            shares = [Counter(p.topic for p in member.service.workers) for member in (one, two)]
            assert shares == [{names.reviews: 2, names.by_group: 2, names.requests: 2}] * 2
            assert not set(one.service.workers) & set(two.service.workers)
    assert set(Counter(r.review_id for r in results)) == set(range(3000))
    assert second.asked
    assert letters == []


async def test_a_stop_while_kafka_is_gone_ends_in_bounded_time(make_broker: MakeBroker, topic_prefix: str) -> None:
    """What could not be committed stays uncommitted; the process does not hang."""
    broker = make_broker()
    world = World(broker.bootstrap_servers, topic_prefix, partitions=2)
    await world.create()
    world.tuned("delivery", revoke_drain_seconds=1, shutdown_timeout_seconds=3)
    engine = ScriptedEngine()
    engine.gate.clear()
    await world.send([review(n, n) for n in range(50)])
    member = world.member(engine)
    task = asyncio.create_task(member.service.run())
    await until(lambda: engine.most_at_once > 0)
    broker.kill()
    engine.gate.set()
    await asyncio.sleep(0.5)
    member.service.stop()
    async with asyncio.timeout(20):
        await task


async def test_a_stop_does_not_wait_for_a_rebalance(make_broker: MakeBroker, topic_prefix: str) -> None:
    """A member that joins a group whose broker has gone waits for ever: but not when it is told to stop."""
    broker = make_broker()
    world = World(broker.bootstrap_servers, topic_prefix, partitions=2)
    await world.create()
    world.tuned("delivery", revoke_drain_seconds=1, shutdown_timeout_seconds=3)
    one, two = world.member(ScriptedEngine()), world.member(ScriptedEngine())
    tasks = [asyncio.create_task(one.service.run())]
    await until(lambda: bool(one.service.workers))
    tasks.append(asyncio.create_task(two.service.run()))
    await asyncio.sleep(0.3)
    broker.kill()
    await asyncio.sleep(1)
    one.service.stop()
    two.service.stop()
    async with asyncio.timeout(40):
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_deleted_reviews_words_do_not_stay_published(world: World) -> None:
    """The summary is written anew without its quote, though no other review comes."""
    names = world.settings.topics
    async with world.running(ScriptedEngine()):
        await world.send([review(1, 1, "비밀을 썼어요"), review(1, 2, "괜찮아요")])
        await _settled(world, restaurants=1)
        assert "비밀" in str(await world.latest(names.summary, RestaurantSummary))
        await world.send([(b"1", encode_document({"review_id": 1, "restaurant_id": 1, "content": None}))])
        async with asyncio.timeout(30):
            while "비밀" in str(await world.latest(names.summary, RestaurantSummary)):
                await asyncio.sleep(0.2)
            while "비밀" in str(await world.latest(names.strength, RestaurantStrengths)):
                await asyncio.sleep(0.2)
    (left,) = (await world.latest(names.summary, RestaurantSummary)).values()
    assert left
    assert (left.version, left.review_count) == (2, 1)


async def test_a_rebalance_keeps_the_state_of_what_stays(world: World) -> None:
    """Totals go on from where they were in the member that keeps a partition."""
    names = world.settings.topics
    async with world.running(ScriptedEngine()) as one:
        await world.until_answered(await world.send([review(n % 20, n) for n in range(200)]))
        async with world.running(ScriptedEngine()) as two:
            await until(lambda: bool(two.service.workers))
            await until(lambda: len(one.service.workers) == 6 and all(w.restored for w in one.service.workers.values()))
            stays = {p.partition for p in one.service.workers if p.topic == names.reviews}
            await world.until_answered(200 + await world.send([review(n % 20, n) for n in range(200, 220)]))
    totals = [r for r in await world.read(names.totals) if r.partition in stays]
    last = {r.key: decode(SentimentTotals, r.value).total_count for r in totals}
    assert set(last.values()) == {11}


async def test_a_large_compressed_record_becomes_its_dead_letter(world: World) -> None:
    """3 MB that compress well arrive in a topic that takes 1 MB; so does the dead letter."""
    value = b"not json " * 350_000
    producer = AIOKafkaProducer(
        bootstrap_servers=world.settings.kafka.bootstrap_servers, compression_type="zstd", max_request_size=8_000_000
    )
    async with producer:
        await producer.send_and_wait(world.settings.topics.reviews, key=b"1", value=value)
    async with world.running(ScriptedEngine()):
        _, (letter,) = await world.until_answered(1)
    assert letter.value == value
    assert letter.reason == "not_json"


async def test_a_restaurant_without_reviews_gets_tombstones(world: World) -> None:
    """When its last review is deleted, its totals, summary and strengths go."""
    names = world.settings.topics
    async with world.running(ScriptedEngine()):
        await world.send([review(1, 1, comparison_group="g"), review(2, 2, comparison_group="g")])
        await _settled(world, restaurants=2)
        deleted = encode_document({"review_id": 1, "restaurant_id": 1, "content": None})
        await world.send([(b"1", deleted)])
        async with asyncio.timeout(30):
            while (await world.latest(names.strength, RestaurantStrengths))[b'["g","1"]'] is not None:
                await asyncio.sleep(0.2)
    assert (await world.latest(names.totals, SentimentTotals))[b"1"] is None
    assert (await world.latest(names.summary, RestaurantSummary))[b"1"] is None
    assert (await world.latest(names.by_group, RestaurantSummary))[b'["g","1"]'] is None
    assert (await world.latest(names.totals, SentimentTotals))[b"2"] is not None


async def test_a_restaurant_that_moves_leaves_its_old_group(world: World) -> None:
    """The old group's records get tombstones, the new group's the summary."""
    names = world.settings.topics
    async with world.running(ScriptedEngine()):
        await world.send([review(1, 1, comparison_group="old")])
        await _settled(world, restaurants=1)
        await world.send([review(1, 2, comparison_group="new")])
        async with asyncio.timeout(30):
            while (await world.latest(names.strength, RestaurantStrengths)).get(b'["new","1"]') is None:
                await asyncio.sleep(0.2)
            while (await world.latest(names.strength, RestaurantStrengths))[b'["old","1"]'] is not None:
                await asyncio.sleep(0.2)
    assert (await world.latest(names.by_group, RestaurantSummary))[b'["old","1"]'] is None


async def test_a_topic_keyed_some_other_way_stops_the_consumer(world: World) -> None:
    """Rather than turn all of it into dead letters."""
    await world.send([(f"review-{n}".encode(), review(n, n)[1]) for n in range(400)], partition=0)
    with pytest.raises(ExceptionGroup) as caught:
        await world.member(ScriptedEngine()).service.run()
    assert caught.group_contains(ConfigError, match="KEY_PARTITIONER")


async def test_an_engine_that_cannot_be_revived_ends_the_service_and_every_record_stays_with_kafka(
    world: World,
) -> None:
    """After ENGINE_MAX_RESTARTS without progress; nothing of what was in flight is committed, or a dead letter."""
    engine = MortalEngine(kills=lambda _: True)
    await world.send([review(1, n) for n in range(20)])
    world.tuned("engine", engine_max_restarts=3)

    async def start() -> None:
        if engine.deaths:
            raise EngineDown("no device")
        await MortalEngine.start(engine)

    engine.start = start  # type: ignore[method-assign]
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(world.member(engine).service.run(), 60)
    assert caught.group_contains(EngineDown, match="no device")
    assert len(engine.deaths) == 1
    assert await world.committed() == 0
    assert await world.letters() == []
