"""What the benchmark of scale works out from what it sees."""

import asyncio
import os
from math import isclose

import orjson
import pytest

from consumer.analysis.task import Kind, Task
from tests.benchmarks import tables
from tests.benchmarks.plumbing.field import events
from tests.benchmarks.scale import costs
from tests.benchmarks.scale.__main__ import EXPERIMENTS, arguments, ratios_of
from tests.benchmarks.scale.costs import Cost, per_record
from tests.benchmarks.scale.looking import Look, cpu_seconds, kib_of
from tests.benchmarks.scale.members import between, shared
from tests.benchmarks.scale.paced import PacedEngine
from tests.benchmarks.simulator import virtual_time

STAT = "7 (a (b) c) S 1 7 7 0 -1 4194304 9 0 0 0 250 50 9000 9000 20 0 5 0 100 1 1"
STATUS = "Name:\tpython\nVmHWM:\t  204800 kB\nVmRSS:\t  102400 kB\n"


@pytest.mark.parametrize("name", ["restaurants", "backlogs"])
def test_what_is_found_is_kept_where_the_table_looks_for_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row a size."""

    def run(_address: str, restaurants: int, records: int, *_: object) -> Cost:
        return Cost(restaurants, records, 12.0, 3.0, 4.0)

    monkeypatch.setattr(costs, "run", run)
    found = EXPERIMENTS[name]("nowhere", arguments().parse_args(["--restaurants", "7", "9", "--backlogs", "7", "9"]))
    assert tables.scale(found).count("\n| ") == 3


def test_processor_time_is_user_and_system_whatever_the_process_is_called() -> None:
    """Fields 14 and 15 of proc(5), counted behind the name; not those of its children."""
    assert cpu_seconds(STAT) == 300 / os.sysconf("SC_CLK_TCK")


def test_memory_is_found_by_name_or_refused() -> None:
    """A process that has ended has none."""
    assert (kib_of(STATUS, "VmRSS"), kib_of(STATUS, "VmHWM")) == (102_400, 204_800)
    with pytest.raises(ValueError, match="VmSwap"):
        kib_of(STATUS, "VmSwap")


def test_a_record_costs_what_was_used_between_two_looks() -> None:
    """The start, before the first of them, costs nothing; nor can nothing be divided by."""
    first, last = Look(0, 2_000, 5.0), Look(9, 12_000, 6.5)
    assert isclose(per_record(first, last), 150)
    with pytest.raises(RuntimeError, match="no record"):
        per_record(first, first)


def test_a_rate_runs_from_the_first_commit_seen_to_the_last() -> None:
    """Looks before that commit only say where it began: 400 records were done when the members were ready."""
    seen = [Look(0, 400, 1), Look(1, 400, 2), Look(2, 1_000, 3), Look(5, 2_000, 4), Look(12, 6_000, 8)]
    found = between(seen)
    assert isclose(found.records_per_second, 500)
    assert isclose(found.cpu_share, 0.5)


@pytest.mark.parametrize("records", [[0, 600, 1_000], [0, 1_000], [1_000]])
def test_a_rate_of_less_than_half_a_backlog_is_refused(records: list[int]) -> None:
    """It would be chance."""
    with pytest.raises(RuntimeError, match="too short"):
        between([Look(at, done, 0) for at, done in enumerate(records)])


def test_partitions_are_shared_when_all_are_there_and_everybody_has_as_many() -> None:
    """While members join, one has too many, one none, or two say that they have the same."""
    assert shared([{0, 1}, {2, 3}], 4)
    assert shared([{0, 1, 2, 3}], 4)
    wrong: list[list[set[int]]] = [
        [{0, 1, 2, 3}, set()],
        [{0, 1, 2}, {3}],
        [{0, 1}, {1, 2}],
        [{0}, {1}],
        [set(), set()],
    ]
    assert not any(shared(one, 4) for one in wrong)


def test_a_paced_engine_takes_one_batch_after_the_other_and_forgets_what_is_cancelled() -> None:
    """Ten reviews a second: of four batches at once the third, cancelled as it waits, costs nobody anything."""
    assert virtual_time.run(_ends(PacedEngine(10), [10, 5, 20, 10], cancelled=2)) == {0: 1.0, 1: 1.5, 3: 2.5}


async def _ends(engine: PacedEngine, sizes: list[int], cancelled: int) -> dict[int, float]:
    """When each batch that comes at 0 is answered; one of them is cancelled at 0.1."""
    ends, began = dict[int, float](), asyncio.get_running_loop().time()

    async def ask(number: int) -> None:
        batch = await engine.prepare([Task(Kind.SENTIMENT, "ko", ("좋아요",))] * sizes[number], 1000)
        answered = list[int]()
        await engine.run(batch, lambda index, _: answered.append(index))
        assert answered == list(range(sizes[number]))
        ends[number] = asyncio.get_running_loop().time() - began

    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(ask(number)) for number in range(len(sizes))]
        await asyncio.sleep(0.1)
        asked[cancelled].cancel()
    return ends


def test_ratios_are_to_one_member_where_it_ran() -> None:
    """Each round by itself."""
    assert ratios_of({1: [100, 50], 4: [400, 200]}) == {"4 members / 1": "4.00 (4.00 to 4.00)"}
    assert ratios_of({2: [100]}) == {}


def test_events_go_on_where_the_last_ones_ended() -> None:
    """Other reviews of the same restaurants: none is a duplicate of what is there."""
    found = [(key, orjson.loads(value)) for key, value in events(5, restaurants=2, first=3)]
    assert [event["review_id"] for _, event in found] == [3, 4, 5, 6, 7]
    assert [key for key, _ in found] == [b"1", b"0", b"1", b"0", b"1"]
