"""Exactly once on a real broker, each trap in turn: refusals, unknown outcomes, former owners, restores, rebalances."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError

from consumer.errors import Fenced, RetryLater
from consumer.kafka.changelog import Changelog
from consumer.kafka.exactly_once import ExactlyOncePublisher, transactional_id
from consumer.kafka.publisher import Commit, Destination, Write
from consumer.kafka.source import Source
from consumer.pipeline.assembly import Assembly
from consumer.stream.changelog import mark_entry
from consumer.stream.place import LaneMark
from consumer.stream.record import Output, Partition
from deploy.kafka.sources import Kafka
from schemas.results import SentimentTotals
from schemas.topics import murmur2_partition, state_topic
from tests.integration.scripted import ScriptedEngine, review
from tests.integration.world import World, until
from tests.kafka_broker import create_topic

GENERATION = 7


class Members:
    """Stands for the group's coordinator: says whose generation it accepts."""

    def __init__(self) -> None:
        self.accepted = {GENERATION}
        self.asked = 0

    async def confirm(self, generation: int) -> None:
        """As `Source.confirm`."""
        self.asked += 1
        if generation not in self.accepted:
            raise Fenced("the generation is over")


class Lane:
    """A lane's publisher without the rest of the service."""

    def __init__(self, world: World, members: Members, generation: int = GENERATION) -> None:
        settings = world.settings
        self.world, self.partition = world, Partition(settings.topics.reviews, 0)
        self.group = settings.delivery.kafka_group_id
        names = settings.topics.sentiment, settings.topics.dlq, state_topic(self.group, settings.topics.reviews)
        to, changelog = Destination(settings.kafka, self.group, names), Changelog(settings.kafka, self.group)
        self.publisher = ExactlyOncePublisher(to, members, changelog, self.partition, generation)

    def write(self, sequence: int, *values: str, since: int = 0) -> Write:
        """Commit number `sequence` with these outputs."""
        topic = self.world.settings.topics.sentiment
        outputs = [Output(topic, b"k", value.encode(), 0, origin=n) for n, value in enumerate(values)]
        return Write(outputs, [mark_entry(LaneMark(sequence * 10, sequence, 2))], sequence * 10, sequence, since)

    async def published(self) -> list[str]:
        """What a reader of committed records sees."""
        return [r.value.decode() for r in await self.world.read(self.world.settings.topics.sentiment)]


@asynccontextmanager
async def opened(lane: Lane) -> AsyncIterator[ExactlyOncePublisher]:
    """Open while inside."""
    await lane.publisher.open()
    try:
        yield lane.publisher
    finally:
        await lane.publisher.close()


def failing_once(monkeypatch: pytest.MonkeyPatch, method: str, *, after: bool) -> list[str]:
    """Let a producer's call time out the first time: after it was carried out, or before."""
    real: Callable[..., Awaitable[Any]] = getattr(AIOKafkaProducer, method)
    hit: list[str] = []

    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if hit:
            return await real(self, *args, **kwargs)
        hit.append(method)
        if after:
            await real(self, *args, **kwargs)
        raise KafkaTimeoutError("the answer did not come")

    monkeypatch.setattr(AIOKafkaProducer, method, call)
    return hit


async def test_a_commit_that_was_made_though_its_answer_was_lost_is_found_by_the_mark(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent again it would be there twice."""
    lane = Lane(world, members := Members())
    async with opened(lane) as publisher:
        failing_once(monkeypatch, "commit_transaction", after=True)
        first = await publisher.commit(lane.write(1, "a"))
        asked = members.asked
        again = await publisher.commit(lane.write(1, "a"))
        third = await publisher.commit(lane.write(2, "b", since=again.position))
    assert [o.commit for o in (first, again, third)] == [Commit.UNKNOWN, Commit.COMMITTED, Commit.COMMITTED]
    assert members.asked == asked + 1  # a heartbeat came before the new producer
    assert await lane.published() == ["a", "b"]


@pytest.mark.parametrize("call", ["send_offsets_to_transaction", "commit_transaction", "begin_transaction"])
async def test_a_commit_that_was_not_made_is_sent_again(
    world: World, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """What the failed one had sent is never seen."""
    lane = Lane(world, Members())
    async with opened(lane) as publisher:
        failing_once(monkeypatch, call, after=False)
        assert (await publisher.commit(lane.write(1, "a"))).commit is Commit.UNKNOWN
        assert (await publisher.commit(lane.write(1, "a"))).commit is Commit.COMMITTED
    assert await lane.published() == ["a"]


async def test_invariant_3_nothing_of_a_former_owner_becomes_visible(world: World) -> None:
    """The new owner ends the open transaction before it reads the offset; the former one's commit fails."""
    lane, other = Lane(world, Members()), Lane(world, Members())
    async with opened(lane) as former:
        assert (await former.commit(lane.write(1, "before"))).commit is Commit.COMMITTED
        await former._producer.begin_transaction()
        assert former._sender
        await former._sender.send([Output(world.settings.topics.sentiment, b"k", b"open", 0)])
        async with opened(other) as owner:
            with pytest.raises(Exception, match=r"Fenced|fenced|newer"):
                await former._producer.commit_transaction()
            assert (await former.commit(lane.write(2, "zombie"))).commit in {Commit.FENCED, Commit.UNKNOWN}
            assert (await owner.commit(other.write(2, "owner"))).commit is Commit.COMMITTED
    assert await lane.published() == ["before", "owner"]


async def test_a_zombie_does_not_fence_the_new_owner_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its generation is over, so it makes no producer, though it does not know what became of its commit."""
    lane, other = Lane(world, members := Members()), Lane(world, Members())
    async with opened(lane) as zombie:
        failing_once(monkeypatch, "commit_transaction", after=False)
        assert (await zombie.commit(lane.write(1, "zombie"))).commit is Commit.UNKNOWN
        async with opened(other) as owner:
            members.accepted.clear()
            assert (await zombie.commit(lane.write(1, "zombie"))).commit is Commit.FENCED
            assert (await owner.commit(other.write(1, "owner"))).commit is Commit.COMMITTED
    assert await lane.published() == ["owner"]


async def test_another_owners_commit_since_ends_the_lane(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mark has a sequence that is neither ours nor the one before."""
    lane, other = Lane(world, Members()), Lane(world, Members())
    async with opened(lane) as publisher:
        failing_once(monkeypatch, "commit_transaction", after=False)
        assert (await publisher.commit(lane.write(1, "ours"))).commit is Commit.UNKNOWN
        async with opened(other) as owner:
            for sequence in (1, 2):
                await owner.commit(other.write(sequence, f"theirs {sequence}"))
        assert (await publisher.commit(lane.write(1, "ours"))).commit is Commit.FENCED
    assert await lane.published() == ["theirs 1", "theirs 2"]


async def test_a_refused_send_inside_a_transaction_commits_nothing_and_is_named(
    kafka: Kafka, topic_prefix: str
) -> None:
    """Kafka would commit the rest, and the offset. The lane's next commit works."""
    world = World(kafka.bootstrap_servers, topic_prefix, partitions=2)
    await create_topic(kafka.bootstrap_servers, world.settings.topics.sentiment, 2, {"max.message.bytes": "1000"})
    await world.create()
    lane = Lane(world, Members())
    large = "".join(chr(0xAC00 + n * 37 % 11172) for n in range(2000))
    async with opened(lane) as publisher:
        outcome = await publisher.commit(lane.write(1, "a", large, "b"))
        assert (outcome.commit, outcome.refused) == (Commit.REFUSED, (1,))
        assert await world.committed() == 0
        assert (await publisher.commit(lane.write(1, "a", "b"))).commit is Commit.COMMITTED
    assert await lane.published() == ["a", "b"]
    assert await world.committed() == 10


async def test_a_topic_that_takes_records_but_no_large_batches_gets_small_ones(kafka: Kafka, topic_prefix: str) -> None:
    """Its limit is below the size of our batches; no record is at fault."""
    world = World(kafka.bootstrap_servers, topic_prefix, partitions=2)
    await create_topic(kafka.bootstrap_servers, world.settings.topics.sentiment, 2, {"max.message.bytes": "2000"})
    await world.create()
    lane = Lane(world, Members())
    values = [f"{n} " + "".join(chr(0xAC00 + (n + k) * 7919 % 11172) for k in range(200)) for n in range(40)]
    async with opened(lane) as publisher:
        for _ in range(8):
            if (outcome := await publisher.commit(lane.write(1, *values))).commit is Commit.COMMITTED:
                break
            assert outcome.commit is Commit.NOT_COMMITTED
    assert await lane.published() == values


async def test_the_end_of_a_changelog_is_a_marker_and_never_a_record(world: World) -> None:
    """Reading ends at the end all the same, and from the end on there is nothing."""
    lane = Lane(world, Members())
    async with opened(lane) as publisher:
        for sequence in (1, 2, 3):
            await publisher.commit(lane.write(sequence, "x"))
    seen: list[tuple[int, int]] = []
    changelog = Changelog(world.settings.kafka, lane.group)
    async with asyncio.timeout(20):
        await changelog.read(lane.partition, 0, lambda _, at, end: seen.append((at, end)))
        assert await changelog.newest_mark(lane.partition, seen[-1][0]) is None
    assert seen[-1] == (6, 6)  # three marks, and a transaction's marker behind each
    mark = await changelog.newest_mark(lane.partition, 0)
    assert mark == LaneMark(30, 3, 2)
    assert transactional_id("g", Partition("t", 3)) == "g.t.3"


async def test_an_unknown_outcome_inside_the_service_answers_each_review_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lane keeps its results until it knows."""
    hit = failing_once(monkeypatch, "commit_transaction", after=True)
    await world.send([review(n % 5, n) for n in range(100)])
    async with world.running(ScriptedEngine()):
        results, _ = await world.until_answered(100)
        await asyncio.sleep(1)
        results, letters = await world.results(), await world.letters()
    assert hit
    assert Counter(r.review_id for r in results) == Counter(range(100))
    assert letters == []
    assert {r.outcome for r in results} == {"analyzed"}


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
async def test_output_that_kafka_refuses_becomes_its_records_dead_letter(
    kafka: Kafka, topic_prefix: str, delivery: str
) -> None:
    """Its neighbours are answered, and it counts in no total."""
    world = World(kafka.bootstrap_servers, topic_prefix, partitions=1)
    world.tuned("delivery", delivery=delivery)
    await create_topic(kafka.bootstrap_servers, world.settings.topics.sentiment, 1, {"max.message.bytes": "1000"})
    await world.create()
    wide = "".join(chr(0xAC00 + n * 7919 % 11172) for n in range(256))
    await world.send([review(1, 1), review(1, wide), review(1, 3)])
    async with world.running(ScriptedEngine()):
        results, letters = await world.until_answered(3)
    assert {r.review_id for r in results} == {1, 3}
    assert [letter.reason for letter in letters] == ["output_refused"]
    totals = await world.latest(world.settings.topics.totals, SentimentTotals)
    assert [t.total_count for t in totals.values() if t] == [2]


async def test_records_that_arrive_before_the_assignment_is_done_are_not_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lane opens late; what was fetched meanwhile comes again."""
    real = Changelog.read

    async def slow(self: Changelog, *args: Any) -> None:
        await asyncio.sleep(1)
        await real(self, *args)

    monkeypatch.setattr(Changelog, "read", slow)
    await world.send([review(n % 5, n) for n in range(60)])
    async with world.running(ScriptedEngine()) as member:
        await until(lambda: bool(member.service.workers))
        for worker in list(member.service.workers.values()):
            member.service._source.resume([worker.partition])  # as if the pause had come too late
        results, _ = await world.until_answered(60)
    assert Counter(r.review_id for r in results) == Counter(range(60))


async def test_a_member_that_ends_inside_its_assignment_takes_nothing_along(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has fenced former owners and not opened its lanes; the next one starts over."""
    real, hanging = Changelog.read, asyncio.Event()

    async def hangs(self: Changelog, *args: Any) -> None:
        if not hanging.is_set():
            hanging.set()
            await asyncio.sleep(3600)
        await real(self, *args)

    monkeypatch.setattr(Changelog, "read", hangs)
    await world.send([review(n % 5, n) for n in range(60)])
    first = world.member(ScriptedEngine())
    task = asyncio.create_task(first.service.run())
    await asyncio.wait_for(hanging.wait(), 30)
    await world.kill(task)
    async with world.running(ScriptedEngine()):
        results, _ = await world.until_answered(60)
    assert Counter(r.review_id for r in results) == Counter(range(60))


async def test_a_rebalance_while_the_engine_is_busy_answers_each_review_once(world: World) -> None:
    """Running work is cancelled; whoever owns the partition then asks again."""
    busy = ScriptedEngine()
    busy.gate.clear()
    await world.send([review(n % 9, n) for n in range(200)])
    async with world.running(busy) as one:
        await until(lambda: busy.most_at_once > 0)
        async with world.running(ScriptedEngine()) as two:
            await until(lambda: bool(two.service.workers))
            busy.gate.set()
            await world.until_answered(200)
            assert one.service.workers
    results = await world.results()
    assert Counter(r.review_id for r in results) == Counter(range(200))


async def test_a_revocation_after_the_partitions_were_lost_commits_nothing(world: World) -> None:
    """The group has thrown the member out: what is done stays uncommitted, and the next assignment does it again."""
    engine = ScriptedEngine()
    world.tuned("delivery", commit_interval_seconds=5.0)
    await world.send([review(1, n) for n in range(5)])
    async with world.running(engine) as member:
        await world.until_answered(5)
        before = list(member.service.workers.values())
        committed = [w.lane.committed for w in before if w.lane is not None]
        await world.send([review(1, n) for n in range(5, 10)])
        await until(lambda: len(engine.asked) == 10)
        member.service._source._consumer._coordinator.reset_generation()
        await until(lambda: all(w.closed for w in before))
        assert [w.lane.committed for w in before if w.lane is not None] == committed
        results, _ = await world.until_answered(10)
    assert Counter(r.review_id for r in results) == Counter(range(10))
    assert max(engine.asked.values()) == 2


async def test_a_fenced_member_closes_every_lane_and_joins_anew(world: World) -> None:
    """Somebody takes one partition's transactional id; the member works again after a while."""
    await world.send([review(n % 5, n) for n in range(50)])
    async with world.running(ScriptedEngine()) as member:
        await world.until_answered(50)
        before = list(member.service.workers.values())
        thief = Lane(world, Members())
        async with opened(thief):
            await world.send([review(n % 5, n) for n in range(50, 100)])
            await until(lambda: all(w.closed for w in before))
        results, _ = await world.until_answered(100)
    assert Counter(r.review_id for r in results) == Counter(range(100))


async def test_invariant_1_the_offset_never_passes_an_unfinished_record(world: World) -> None:
    """One review hangs: what is behind it waits, what is before it is committed."""
    held = asyncio.Event()

    class Holding(ScriptedEngine):
        async def run(self, batch: Any, deliver: Any) -> None:
            hung = [n for n, p in enumerate(batch) if "hang" in "".join(p.task.reviews)]
            rest = [n for n in range(len(batch)) if n not in hung]
            await super().run([batch[n] for n in rest], lambda n, answer: deliver(rest[n], answer))
            for index in hung:
                await held.wait()
                deliver(index, self._answer(batch[index].task))

    await world.send([review(1, n, "hang" if n == 20 else None) for n in range(50)])
    async with world.running(Holding()):
        await world.until_answered(20)
        await asyncio.sleep(1)
        assert await world.committed() == 20
        assert len(await world.results()) == 20
        held.set()
        await world.until_answered(50)
    assert await world.committed() == 50


@pytest.mark.parametrize("store", ["kept", "deleted"])
@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
async def test_state_survives_a_restart(world: World, delivery: str, store: str, tmp_path: Path) -> None:
    """Totals go on from the changelog, and a repeated review is known as one."""
    world.tuned("delivery", delivery=delivery)
    await world.send([review(n % 3, n) for n in range(30)])
    async with world.running(ScriptedEngine()):
        await world.until_answered(30)
    if store == "deleted":
        world.tuned("service", state_dir=tmp_path)
    await world.send([review(n % 3, n) for n in range(27, 33)])
    async with world.running(ScriptedEngine()):
        await world.until_answered(36)
    results = await world.results()
    assert Counter(r.outcome for r in results) == Counter(analyzed=33, duplicate=3)
    totals = await world.latest(world.settings.topics.totals, SentimentTotals)
    assert sorted(t.total_count for t in totals.values() if t) == [11, 11, 11]


async def test_at_least_once_answers_from_state_what_was_interrupted_before_its_offset(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The changelog is written, the offset is not: the records come again, and are not folded, nor asked, again."""
    world.tuned("delivery", delivery="at_least_once")
    await world.send([review(1, n) for n in range(10)])
    real = Source.commit

    async def away(self: Source, partition: Partition, offset: int) -> None:
        if offset:
            raise RetryLater("the coordinator is away")
        await real(self, partition, offset)

    monkeypatch.setattr(Source, "commit", away)
    member = world.member(ScriptedEngine())
    task = asyncio.create_task(member.service.run())
    await world.until_answered(2)  # the same ones again and again
    await world.kill(task)
    monkeypatch.setattr(Source, "commit", real)
    lane = Partition(world.settings.topics.reviews, murmur2_partition(b"1", 2))
    mark = await Changelog(world.settings.kafka, world.settings.delivery.kafka_group_id).newest_mark(lane, 0)
    assert mark
    assert mark.offset > 0
    engine = ScriptedEngine()
    async with world.running(engine):
        await until_committed(world, 10)
    results = await world.results()
    assert {r.outcome for r in results} == {"analyzed"}
    assert {r.sentiment for r in results} == {"positive"}
    assert engine.asked == Counter(f"리뷰 {n}" for n in range(mark.offset, 10))
    totals = await world.latest(world.settings.topics.totals, SentimentTotals)
    assert [t.total_count for t in totals.values() if t] == [10]


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
async def test_a_lane_that_never_committed_opens_again(world: World, delivery: str) -> None:
    """A member that ends before there was anything leaves nothing behind that the next one would refuse."""
    world.tuned("delivery", delivery=delivery)
    for _ in range(2):
        async with world.running(ScriptedEngine()) as member:
            await until(lambda: len(member.service.workers) == 6)
            await until(lambda: all(w.restored or w.refusal for w in member.service.workers.values()))
            assert [w.refusal for w in member.service.workers.values()] == [""] * 6


async def until_committed(world: World, offset: int) -> None:
    """Wait until the group stands there."""
    async with asyncio.timeout(30):
        while await world.committed() < offset:
            await asyncio.sleep(0.2)


async def test_a_moved_offset_refuses_its_partition_until_a_person_decides(world: World) -> None:
    """The other partition works on; readiness names it; `--from` goes on."""
    await world.send([review(n % 5, n) for n in range(40)])
    async with world.running(ScriptedEngine()):
        await world.until_answered(40)
    await world.move(0, 1)
    async with world.running(ScriptedEngine()) as member:
        await until(lambda: any(w.refusal for w in member.service.workers.values()))
        await until(lambda: any("--from state" in reason for reason in member.health.ready()[1]))
    async with world.running(ScriptedEngine(), origin="state"):
        results, _ = await world.until_answered(40 + await world.send([review(n % 5, n) for n in range(40, 60)]))
    assert Counter(r.review_id for r in results) == Counter(range(60))
    assert {r.outcome for r in results} == {"analyzed"}


async def test_members_of_another_delivery_mode_are_refused(world: World) -> None:
    """The assignor's name tells them apart."""
    async with world.running(ScriptedEngine()) as member:
        await until(lambda: bool(member.service.workers))
        world.tuned("delivery", delivery="at_least_once")
        with pytest.raises(ExceptionGroup) as caught:
            await asyncio.wait_for(world.member(ScriptedEngine()).service.run(), 30)
    assert caught.group_contains(Exception, match="another DELIVERY")


async def test_at_least_once_fences_a_former_owner_of_exactly_once(world: World) -> None:
    """A zombie of the time before the mode was changed cannot commit."""
    lane = Lane(world, Members())
    async with opened(lane) as former:
        assert (await former.commit(lane.write(1, "before"))).commit is Commit.COMMITTED
        world.tuned("delivery", delivery="at_least_once")
        async with world.running(ScriptedEngine(), origin="committed") as member:
            await until(
                lambda: len(member.service.workers) == 6 and all(w.restored for w in member.service.workers.values())
            )
            assert (await former.commit(lane.write(2, "zombie"))).commit is Commit.FENCED
    assert await lane.published() == ["before"]


async def test_a_static_member_that_restarts_costs_the_others_no_rebalance(world: World) -> None:
    """It takes its partitions again; the other's lanes stay open all the while."""
    world.tuned("delivery", kafka_group_instance_id="one", kafka_session_timeout_seconds=20)
    async with world.running(ScriptedEngine()) as one:
        world.tuned("delivery", kafka_group_instance_id="two")
        async with world.running(ScriptedEngine()) as two:
            await until(lambda: bool(two.service.workers) and len(one.service.workers) == 3)
            await until(lambda: all(w.restored for w in (*one.service.workers.values(), *two.service.workers.values())))
            stays = list(one.service.workers.values())
        async with world.running(ScriptedEngine()) as again:
            await until(lambda: set(again.service.workers) == set(two_had(one, world)))
            results, _ = await world.until_answered(await world.send([review(n % 5, n) for n in range(40)]))
        assert list(one.service.workers.values()) == stays
        assert not any(worker.closed for worker in stays)
    assert Counter(r.review_id for r in results) == Counter(range(40))


def two_had(one: Assembly, world: World) -> set[Partition]:
    """The partitions that are not the first member's."""
    names = world.settings.topics
    every = {
        Partition(topic, n)
        for topic in (names.reviews, names.by_group, names.requests)
        for n in range(world.partitions)
    }
    return every - set(one.service.workers)
