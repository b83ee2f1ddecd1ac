"""`review-consumer dlq list | show | replay | export` on a real broker: every letter, and each back exactly once."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from consumer.analysis.task import Kind, Task
from consumer.engines.contract import Answer, Fault
from consumer.errors import DeadLetter, Fenced
from consumer.pipeline.exact_run import Plan
from consumer.pipeline.outputs import dead_letter
from consumer.pipeline.replay import Count, Replay
from consumer.stream.letters import Selection, read_letter
from consumer.stream.record import Output
from schemas.topics import murmur2_partition
from tests.integration.malformed import KINDS, malformed
from tests.integration.scripted import ScriptedEngine, review
from tests.integration.trial import run_trial
from tests.integration.world import World
from tests.unit.records import FakeRecord

SECONDS = 60
NOW_MS = int(time.time() * 1000)
"""Records keep their times, and Kafka deletes what is a week old."""


def command(world: World, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """`review-consumer dlq ...` and its environment."""
    return [sys.executable, "-m", "consumer.cli", "dlq", *arguments], world.environment()


async def dlq(world: World, *arguments: str, answer: str = "") -> "subprocess.CompletedProcess[str]":
    """Run it to its end."""
    line, environment = command(world, *arguments)
    return await asyncio.to_thread(
        subprocess.run,
        line,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        input=answer,
    )


async def write_letters(world: World, count: int, reasons: Sequence[str] = ("engine_error", "not_json")) -> None:
    """Letters of good reviews, one after another: reasons take turns, attempts grow from 1 to 5."""
    now, topic = 1_790_000_000.0, world.settings.topics.reviews
    made = []
    for n in range(count):
        key, value = review(n % 17, n)
        place = murmur2_partition(key, world.partitions)
        record = FakeRecord(topic, place, n, NOW_MS + n, key, value, (("n", b"%d" % n), ("n", b"\xff")))
        fault = DeadLetter(reasons[n % len(reasons)], f"because of {n}")
        made.append(dead_letter(world.settings.topics.dlq, record, fault, 1 + n % 5, now + n))
    await write(world, made)


async def write(world: World, outputs: Sequence[Output]) -> None:
    """Publish them as they are."""
    async with AIOKafkaProducer(bootstrap_servers=world.settings.kafka.bootstrap_servers) as producer:
        sent = [
            await producer.send(
                o.topic,
                key=o.key,
                value=o.value,
                headers=list(o.headers),
                timestamp_ms=o.timestamp,
                partition=murmur2_partition(o.key or b"", world.partitions),
            )
            for o in outputs
        ]
        await asyncio.gather(*sent)


def replay(world: World, selection: Selection | None = None, *, dry: bool = False, tell: Any = None) -> Replay:
    """A run in this process."""
    return Replay(world.settings, selection or Selection(), Plan(dry=dry), tell or (lambda *_: None))


async def replayed(world: World) -> list[int]:
    """Numbers of the records that came back to the reviews, each checked to be as it was."""
    numbers = []
    for record in await world.read(world.settings.topics.reviews):
        number = json.loads(record.value)["review_id"]
        assert (record.key, record.value) == review(number % 17, number)
        assert record.partition == murmur2_partition(record.key, world.partitions)
        assert record.timestamp == NOW_MS + number
        assert list(record.headers) == [
            ("n", b"%d" % number),
            ("n", b"\xff"),
            ("dlq.attempts", b"%d" % (1 + number % 5)),
        ]
        numbers.append(number)
    return numbers


async def test_what_the_consumer_could_not_answer_comes_back_once_it_can(world: World) -> None:
    """An engine that is mended: list, show, export, replay by the command; each is answered once, nothing is left."""
    ill = True

    def script(task: Task, _time: int) -> Answer | Fault | None:
        return (
            DeadLetter("engine_error", "refused") if ill and task.kind is Kind.SENTIMENT and "!" in str(task) else None
        )

    world.tuned("breaker", share=1)
    bad = [review(n % 7, n, f"맛있어요! {n}") for n in range(20)]
    await world.send([*bad, *(review(n % 7, n) for n in range(20, 60)), (b"1", b"not json"), (b"1", None)])
    async with world.running(ScriptedEngine(script)):
        await world.until_answered(62)
        listed = await dlq(world, "list", "--json")
        rows = {row["reason"]: (row["letters"], row["replayed"]) for row in json.loads(listed.stdout)}
        assert rows == {"engine_error": (20, 0), "not_json": (1, 0), "null_value": (1, 0)}
        table = await dlq(world, "list", "--reason", "engine_error")
        assert "engine_error" in table.stdout
        assert "not_json" not in table.stdout
        at = json.loads(listed.stdout)[0]["newest_at"]
        shown = await dlq(world, "show", at)
        assert "맛있어요!" in shown.stdout
        assert "refused" in shown.stdout
        counted = await dlq(world, "replay", "--reason", "engine_error", "--dry-run")
        assert "would replay 20 of 22 dead letters" in counted.stdout
        refused = await dlq(world, "replay", "--reason", "engine_error", answer="n\n")
        assert refused.returncode == 1
        assert len(await world.read(world.settings.topics.reviews)) == 62
        ill = False
        done = await dlq(world, "replay", "--reason", "engine_error", answer="y\n")
        assert (done.returncode, "replayed 20 of 22 dead letters" in done.stdout) == (0, True), done.stderr
        await until_results(world, 60)
        again = await dlq(world, "replay", "--yes")
        assert "replayed 2 of 22 dead letters; 20 were replayed before" in again.stdout
        results, letters = await world.until_answered(60 + 24)
    assert Counter(r.review_id for r in results) == Counter(range(60))
    assert {r.outcome for r in results} == {"analyzed"}
    assert Counter(letter.reason for letter in letters) == {"engine_error": 20, "not_json": 2, "null_value": 2}
    attempts = sorted(dict(x.headers)["dlq.attempts"] for x in letters if x.reason == "not_json")
    assert attempts == [b"1", b"2"]
    exported = await dlq(world, "export", "--reason", "not_json", "--reason", "null_value")
    lines = [json.loads(line) for line in exported.stdout.splitlines()]
    assert [(line["value"], line["replayed"]) for line in lines if line["attempts"] == 1] == [
        ("not json", True),
        (None, True),
    ]


async def until_results(world: World, count: int) -> None:
    """Wait for so many."""
    async with asyncio.timeout(SECONDS):
        while len(await world.results()) < count:
            await asyncio.sleep(0.2)


async def test_each_letter_is_replayed_once_whatever_is_selected_in_which_order(world: World) -> None:
    """By reason, by key, by time, by attempts, then all, then all again; a dry run changes nothing."""
    await write_letters(world, 300)
    counts = []
    dry = replay(world, dry=True)
    assert await dry.run()
    assert dry.count.replayed.count == 300
    for selection in (
        Selection(reasons=frozenset({"not_json"}), below_attempts=3),
        Selection(key=b"3"),
        Selection(since=read_letter((await world.read(world.settings.topics.dlq))[0]).failed_at, key=b"4"),
        Selection(reasons=frozenset({"not_json"}), below_attempts=3),
        Selection(reasons=frozenset({"not_json"})),
        Selection(),
        Selection(),
    ):
        run = replay(world, selection)
        assert await run.run()
        counts.append(run.count.replayed.count)
    assert sum(counts) == 300
    assert counts[0] == sum(n % 2 == 1 and n % 5 < 2 for n in range(300))
    assert all(counts[n] for n in (0, 1, 2, 4, 5))
    assert (counts[3], counts[6]) == (0, 0)
    assert sorted(await replayed(world)) == list(range(300))


async def test_letters_that_come_later_are_replayed_by_the_next_run(world: World) -> None:
    """And those before are not, by the same selection or another."""
    await write_letters(world, 40)
    assert await replay(world).run()
    await write_letters(world, 60)
    second = replay(world)
    assert await second.run()
    assert second.count.replayed.count == 60
    third = replay(world, Selection(key=b"1"))
    assert await third.run()
    assert (third.count.replayed.count, third.count.before) == (0, Counter(n % 17 for n in [*range(40), *range(60)])[1])


async def test_a_replay_that_is_stopped_or_killed_goes_on_where_it_was(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL in the middle, then a stop, then to the end: each once."""
    monkeypatch.setattr("consumer.kafka.copying.MAX_RECORDS", 50)
    await write_letters(world, 3000)
    line, environment = command(world, "replay", "--yes")
    slow = "import consumer.kafka.copying as c; c.MAX_RECORDS = 50; from consumer.cli import main; main()"
    process = await asyncio.create_subprocess_exec(
        line[0], "-c", slow, *line[3:], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    async with asyncio.timeout(SECONDS):
        while len(await world.read(world.settings.topics.reviews)) < 100:
            await asyncio.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    await process.wait()

    def stop(count: Count, _remaining: int) -> None:
        if count.replayed.count >= 300:
            second.stop()

    second = replay(world, Selection(below_attempts=20), tell=stop)
    assert not await second.run()
    third = replay(world, Selection(below_attempts=20))
    assert await third.run()
    numbers = await replayed(world)
    assert len(numbers) == len(set(numbers)) == 3000


async def test_a_second_run_fences_the_first_and_both_replay_each_letter_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with another selection: they share one writer."""
    monkeypatch.setattr("consumer.kafka.copying.MAX_RECORDS", 20)
    await write_letters(world, 1000)
    started = asyncio.Event()
    first = replay(world, tell=lambda count, _: started.set() if count.replayed.count else None)
    running = asyncio.create_task(first.run())
    await started.wait()
    second = replay(world, Selection(below_attempts=99))
    assert await second.run()
    with pytest.raises(Fenced):
        await running
    assert sorted(await replayed(world)) == list(range(1000))


async def test_letters_that_no_client_could_write_and_of_other_topics(world: World) -> None:
    """Headers come back without the names that are no UTF-8; nothing and nothing goes; strangers stay."""
    topic, names = world.settings.topics.dlq, world.settings.topics
    fault = DeadLetter("invalid_header", "x")
    bad = FakeRecord(names.reviews, 1, 5, NOW_MS + 7, b"1", b"v", (("ok", b"1"), ("\udcff", b"2"), ("ok", b"3")))
    empty = FakeRecord(names.reviews, 1, 6, NOW_MS + 8, None, None, (("h", b"1"),))
    other = FakeRecord(f"{names.reviews}.old", 0, 1, NOW_MS + 9, b"1", b"v")
    group = FakeRecord(names.by_group, 1, 3, NOW_MS + 10, b"[1]", b"{")
    letters = [dead_letter(topic, r, fault, 1, 1.0) for r in (bad, other, group)]
    await write(world, letters)
    async with AIOKafkaProducer(bootstrap_servers=world.settings.kafka.bootstrap_servers) as producer:
        batch, letter = producer.create_batch(), dead_letter(topic, empty, fault, 1, 1.0)
        batch.append(timestamp=NOW_MS + 8, key=None, value=None, headers=list(letter.headers))
        await producer.send_batch(batch, topic, partition=0)
    run = replay(world)
    assert await run.run()
    assert (run.count.replayed.count, run.count.foreign) == (3, 1)
    back = {r.timestamp - NOW_MS: r for r in await world.read(names.reviews)}
    assert set(back) == {7, 8}
    assert list(back[7].headers) == [("ok", b"1"), ("ok", b"3"), ("dlq.attempts", b"1")]
    assert (back[8].key, back[8].value, back[8].partition) == (None, None, 1)
    (found,) = await world.read(names.by_group)
    assert (found.partition, found.key, found.value) == (1, b"[1]", b"{")


async def test_an_export_is_whole_or_not_there(world: World, tmp_path: Path) -> None:
    """To a file, with what is no UTF-8 in base64."""
    await write_letters(world, 50)
    out = tmp_path / "letters.jsonl"
    done = await dlq(world, "export", "--out", str(out), "--reason", "engine_error")
    assert (done.returncode, done.stdout) == (0, "")
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert sorted(json.loads(line["value"])["review_id"] for line in lines) == list(range(0, 50, 2))
    assert lines[0]["headers"][1] == {"name": "n", "value_base64": "/w=="}
    missing = await dlq(world, "export", "--out", str(tmp_path / "no" / "x"))
    assert missing.returncode == 2
    assert "cannot be written" in missing.stderr


async def test_what_is_asked_wrongly_says_what_is_allowed(world: World) -> None:
    """With the status of what a person must change."""
    for arguments, said in (
        (("show", "17"), "such as 0/17"),
        (("list", "--since", "yesterday"), "such as 2026-11-23T19:30:00+09:00"),
    ):
        done = await dlq(world, *arguments)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    nothing = await dlq(world, "show", "0/0")
    assert (nothing.returncode, "has no record at 0/0" in nothing.stderr) == (1, True)


async def test_malformed_events_of_twenty_kinds_among_good_ones(world: World) -> None:
    """Each a dead letter byte for byte, every good one answered; the repairable ones come back once each."""
    figures = await run_trial(world, bad_count=200, good_count=1000)
    assert figures.wrong == []
    assert (figures.letters, figures.results) == (200, 1000)
    assert (figures.replayed, figures.mended) == (30, 20)
    assert len(KINDS) == 20
    assert {malformed(n).reason for n in range(20)} == {
        "not_json",
        "null_value",
        "invalid_event",
        "wrong_key",
        "invalid_header",
    }


async def test_the_replayed_are_told_from_those_that_wait(world: World) -> None:
    """By `list` and `show`, and a dry run leaves no trace."""
    await write_letters(world, 20)
    assert await replay(world, Selection(reasons=frozenset({"not_json"}))).run()
    listed = json.loads((await dlq(world, "list", "--json")).stdout)
    assert {row["reason"]: (row["letters"], row["replayed"]) for row in listed} == {
        "not_json": (10, 10),
        "engine_error": (10, 0),
    }
