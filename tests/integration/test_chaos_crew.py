"""Members as processes: what is done to them, and how their ends are judged."""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from deploy.kafka.probe import free_port
from tests.chaos.crew import Crew
from tests.integration.world import until

MakeCrew = Callable[[Mapping[str, str]], Crew]


@pytest.fixture
def make_crew(tmp_path: Path) -> Iterator[MakeCrew]:
    """Crews without a broker; no process outlives the test."""
    made: list[Crew] = []

    def make(own: Mapping[str, str]) -> Crew:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KAFKA_")}
        environment = kept | {"METRICS_PORT": "0", "CHAOS_CALM": str(tmp_path / "calm")} | dict(own)
        made.append(Crew(environment, 1, tmp_path, 10, lambda _: None))
        return made[-1]

    yield make
    for crew in made:
        crew.close()


async def test_a_member_that_ends_by_itself_is_reported_with_its_log_and_replaced(make_crew: MakeCrew) -> None:
    """Here for want of an address: an end that no run may have."""
    crew = make_crew({})
    first = crew.start()
    watch = asyncio.create_task(crew.watch())
    await until(lambda: crew.ends.own == 1)
    (wrong,) = crew.ends.wrong
    assert wrong.startswith("member 0 ended by itself with status 2; the end of member-0.log:\n")
    assert "KAFKA_BOOTSTRAP_SERVERS is not set" in wrong
    await until(lambda: len(crew.free()) == 1)
    assert crew.free()[0].home == first.home
    watch.cancel()


async def test_a_start_that_finds_no_broker_is_counted_and_excused(make_crew: MakeCrew) -> None:
    """Brokers are killed: whoever starts just then says so and ends."""
    crew = make_crew({"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}", "KAFKA_REQUEST_TIMEOUT_SECONDS": "2"})
    crew.start()
    watch = asyncio.create_task(crew.watch())
    await until(lambda: crew.ends.own == 1)
    assert (crew.ends.excused, crew.ends.wrong) == (1, [])
    watch.cancel()


async def test_frozen_and_leaving_members_are_not_free(make_crew: MakeCrew) -> None:
    """Nobody is killed twice; a frozen one can be ended."""
    crew = make_crew({})
    frozen, killed, free = crew.start(), crew.start(), crew.start()
    crew.freeze(frozen)
    crew.kill(killed)
    assert crew.free() == [free]
    crew.thaw(frozen)
    assert crew.free() == [frozen, free]
    crew.freeze(frozen)
    crew.close()
    assert not frozen.running
