"""`review-consumer state show | export | reset` on a real broker, beside members and after them."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from consumer.kafka.changelog import Changelog
from consumer.pipeline import reading, resetting
from consumer.settings import Settings
from consumer.state_dir import StateDirectory
from consumer.store.disk import store_file
from consumer.store.latest import LatestValues
from consumer.stream.place import RESETTING
from consumer.stream.record import Partition
from schemas.results import RestaurantSummary, SentimentTotals
from schemas.topics import murmur2_partition
from tests.integration.scripted import ScriptedEngine, review
from tests.integration.world import World, until

SECONDS = 60


async def state(world: World, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run `review-consumer state ...` to its end."""
    own = {"STATE_DIR": str(world.settings.service.state_dir), "DELIVERY": world.settings.delivery.delivery}
    command = [sys.executable, "-m", "consumer.cli", "state", *arguments]
    return await asyncio.to_thread(
        subprocess.run,
        command,
        env=world.environment(**own | more),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def lines(done: "subprocess.CompletedProcess[str]") -> list[dict[str, Any]]:
    """The JSON lines of an export."""
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


async def summarised(world: World, restaurants: int) -> None:
    """Wait until each restaurant has a summary of all of its reviews."""
    async with asyncio.timeout(SECONDS):
        while True:
            found = await world.latest(world.settings.topics.summary, RestaurantSummary)
            if len(found) == restaurants:
                return
            await asyncio.sleep(0.2)


async def test_show_tells_of_one_restaurant_beside_a_running_member(world: World) -> None:
    """Counts, group, summary, reviews without their text, and where the lane stands; the member does not notice."""
    world.tuned("jobs", summary_max_age_seconds=600)
    await world.send([review(n % 2, n, f"글 {n}", comparison_group="g") for n in range(20)])
    async with world.running(ScriptedEngine()) as member:
        await world.until_answered(20)
        await summarised(world, 2)
        await world.send([review(1, 100, "나중 글"), review(1, 3, None, version=2)])
        await world.until_answered(22)
        shown = await state(world, "show", "1", "--json", "--newest", "3")
        people = await state(world, "show", "1")
        texts = await state(world, "show", "1", "--texts")
        unknown = await state(world, "show", "no-such")
        assert not any(w.closed for w in member.service.workers.values())
    assert shown.returncode == 0, shown.stderr
    document = json.loads(shown.stdout)
    lane = document["lanes"][0]
    assert lane["partition"] == murmur2_partition(b"1", 2)
    assert lane["state"]["positive"] == 11
    assert lane["state"]["group"] == "g"
    assert lane["state"]["summary"]["positive"][0]["aspect"] == "food"
    assert lane["reviews"]["standing"] == 11
    assert len(lane["reviews"]["newest"]) == 3
    assert lane["reviews"]["newest"][1]["review_id"] == 100
    assert lane["mark"]["partitions"] == 2
    assert lane["committed"] == lane["mark"]["offset"]
    assert "나중 글" not in shown.stdout + people.stdout
    assert "나중 글" in texts.stdout
    assert "음식이 맛있습니다." in people.stdout
    assert "lag" in people.stdout
    assert unknown.returncode == 1
    assert "nothing is known of restaurant no-such" in unknown.stderr


async def test_export_has_the_latest_value_of_each_key(world: World, tmp_path: Path) -> None:
    """One line a key, whatever was written before; of all, of one restaurant, of one partition, to a file."""
    await world.send([review(n % 4, n) for n in range(40)])
    async with world.running(ScriptedEngine()):
        await world.until_answered(40)
        await world.send([review(n % 4, n, "다른 글", version=2) for n in range(8)])
        await world.until_answered(48)
    found = lines(await state(world, "export"))
    keys = [(line["topic"], line["partition"], line["kind"], *line["ids"]) for line in found]
    assert len(set(keys)) == len(keys)
    kinds = Counter(line["kind"] for line in found)
    assert kinds["restaurant"] == 4
    assert kinds["review"] == 40
    by_id = {line["ids"][1]: line["value"] for line in found if line["kind"] == "review"}
    assert {by_id[str(n)]["version"] for n in range(8)} == {2}
    one = lines(await state(world, "export", "--restaurant", "3"))
    assert {line["ids"][0] for line in one if line["kind"] == "review"} == {"3"}
    assert Counter(line["kind"] for line in one)["review"] == 10
    out = tmp_path / "state.jsonl"
    done = await state(world, "export", "--partition", "1", "--out", str(out))
    assert (done.returncode, done.stdout) == (0, "")
    part = [json.loads(line) for line in out.read_text().splitlines()]
    assert {line["partition"] for line in part} == {1}
    assert not out.with_name("state.jsonl.part").exists()
    wrong = await state(world, "export", "--partition", "7")
    assert wrong.returncode == 2
    assert "has 2" in wrong.stderr


async def test_reset_refuses_while_the_group_has_members(world: World) -> None:
    """And changes nothing."""
    await world.send([review(1, n) for n in range(5)])
    async with world.running(ScriptedEngine()):
        await world.until_answered(5)
        done = await state(world, "reset", "--from", "beginning", "--yes")
    assert done.returncode == 2
    assert "has 1 members" in done.stderr
    assert "stop them first" in done.stderr
    assert Counter(line["kind"] for line in lines(await state(world, "export")))["review"] == 5


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
async def test_reset_from_the_beginning_reads_every_review_anew(world: World, delivery: str) -> None:
    """No key is left but the marks, no store either, and the consumer starts without `--from`."""
    world.tuned("delivery", delivery=delivery)
    await world.send([review(n % 4, n) for n in range(40)])
    async with world.running(ScriptedEngine()):
        await world.until_answered(40)
    asked = await state(world, "reset", "--from", "beginning")
    assert asked.returncode == 1  # nobody answers the question
    assert Counter(line["kind"] for line in lines(await state(world, "export")))["review"] == 40
    done = await state(world, "reset", "--from", "beginning", "--yes")
    assert done.returncode == 0, done.stderr
    assert not list(world.settings.service.state_dir.rglob("*.state")) + [
        file for file in world.settings.service.state_dir.rglob("*.sqlite3") if "in-flight" not in file.name
    ]
    assert {line["kind"] for line in lines(await state(world, "export"))} == {"lane"}
    assert await world.committed() == 0
    async with world.running(engine := ScriptedEngine()):
        results, _ = await world.until_answered(80)
    assert sum(engine.asked.values()) == 40
    assert {r.outcome for r in results} == {"analyzed"}
    totals = await world.latest(world.settings.topics.totals, SentimentTotals)
    assert {t.total_count for t in totals.values() if t} == {10}


async def test_reset_from_the_committed_offset_counts_what_comes(world: World) -> None:
    """What was answered is not read again."""
    await world.send([review(1, n) for n in range(10)])
    async with world.running(ScriptedEngine()):
        await world.until_answered(10)
    done = await state(world, "reset", "--from", "committed", "--yes")
    assert done.returncode == 0, done.stderr
    await world.send([review(1, n) for n in range(10, 13)])
    async with world.running(ScriptedEngine()):
        await world.until_answered(13)
    totals = await world.latest(world.settings.topics.totals, SentimentTotals)
    assert [t.total_count for t in totals.values() if t] == [3]


async def test_reset_of_a_new_group_has_nothing_to_do(world: World) -> None:
    """And says so."""
    done = await state(world, "reset", "--from", "beginning", "--yes")
    assert (done.returncode, done.stdout) == (0, "there is no state, and no committed offset: nothing to do\n")


async def test_a_store_elsewhere_learns_of_a_reset_from_the_changelog(world: World) -> None:
    """It stands before the tombstones: a host that was not reset begins with the same empty state."""
    await world.send([review(1, n) for n in range(10)])
    async with world.running(ScriptedEngine()):
        await world.until_answered(10)
    done = await state(world, "reset", "--from", "beginning", "--yes", STATE_DIR="/nonexistent")
    assert done.returncode == 0, done.stderr
    lane = Partition(world.settings.topics.reviews, murmur2_partition(b"1", 2))
    assert list(world.settings.service.state_dir.rglob(store_file(Path(), lane).name))
    async with world.running(engine := ScriptedEngine()):
        await world.until_answered(20)
    assert sum(engine.asked.values()) == 10


async def test_a_reset_that_was_cut_short_refuses_the_lane_until_it_is_run_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a state is nothing to go on with, whatever `--from` says."""
    await world.send([review(1, n) for n in range(30)])
    async with world.running(ScriptedEngine()):
        await world.until_answered(30)
    lane = Partition(world.settings.topics.reviews, murmur2_partition(b"1", 2))
    await cut_short(world.settings, lane, monkeypatch)
    async with world.running(ScriptedEngine(), origin="committed") as member:
        await until(lambda: lane in member.service.workers and bool(member.service.workers[lane].refusal))
        assert "run it again" in member.service.workers[lane].refusal
    done = await state(world, "reset", "--from", "beginning", "--yes")
    assert done.returncode == 0, done.stderr
    assert "cut short" in done.stdout
    async with world.running(ScriptedEngine()):
        await world.until_answered(60)


async def cut_short(settings: Settings, lane: Partition, monkeypatch: pytest.MonkeyPatch) -> None:
    """End a reset after its first commit."""
    monkeypatch.setattr(resetting, "KEYS_PER_COMMIT", 10)

    class EndedError(Exception):
        pass

    def advance(_count: int) -> None:
        raise EndedError

    values = LatestValues()
    found = await resetting_standing(settings, lane, values)
    plan = resetting.planned(lane, 2, found, values, "beginning")
    assert plan is not None
    with pytest.raises(EndedError):
        await resetting.reset(settings, plan, values, advance)
    mark = await Changelog(settings.kafka, settings.delivery.kafka_group_id).newest_mark(lane, 0)
    assert mark is not None
    assert mark.offset == RESETTING
    values.close()


async def resetting_standing(settings: Settings, lane: Partition, values: LatestValues) -> Any:
    """Read a lane as the command does."""
    found = (await reading.find(settings, [lane]))[lane]
    await reading.read(settings, lane, 0, values, lambda _: None)
    return found


async def test_a_member_that_comes_meanwhile_keeps_its_lane(world: World) -> None:
    """The person has thought for long, and somebody has started the consumer again."""
    await world.send([review(1, n) for n in range(10)])
    async with world.running(ScriptedEngine()):
        await world.until_answered(10)
    lane = Partition(world.settings.topics.reviews, murmur2_partition(b"1", 2))
    values = LatestValues()
    plan = resetting.planned(lane, 2, await resetting_standing(world.settings, lane, values), values, "beginning")
    assert plan is not None
    async with world.running(ScriptedEngine()) as member:
        await until(lambda: len(member.service.workers) == 6)
        with pytest.raises(Exception, match="has 1 members"):
            await resetting.reset(world.settings, plan, values, lambda _: None)
    values.close()
    assert Counter(line["kind"] for line in lines(await state(world, "export")))["review"] == 10


async def test_a_store_that_a_process_holds_is_left_alone(world: World) -> None:
    """Another group's member may have it, or one that is just starting."""
    directory = StateDirectory(world.settings.service.state_dir, world.settings.delivery.kafka_group_id)
    lane = Partition(world.settings.topics.reviews, 0)
    file = store_file(directory.open(), lane)
    file.touch()
    assert resetting.remove_local_stores(world.settings, [lane]) == []
    directory.close()
    assert resetting.remove_local_stores(world.settings, [lane]) == [str(file)]
    assert not file.exists()
