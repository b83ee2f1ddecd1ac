"""The ceiling: within its bounds whatever is read, and each signal moves it the one way it may."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.stream.admission import Admission
from consumer.stream.ceiling import Ceiling, CeilingRules, Reading

BATCH, MOST = 1000, 10
RULES = CeilingRules(start_batches=2, hold_off=1.0, probe=60.0)
QUIET = Reading(0, running=5, waiting=0, cache_usage=0.2, preemptions=0, tokens=0, step_tokens=500)

readings = st.builds(
    Reading,
    number=st.integers(0, 50),
    running=st.integers(0, 1000),
    waiting=st.integers(0, 1000),
    cache_usage=st.floats(0, 1),
    preemptions=st.integers(0, 50),
    tokens=st.integers(0, 20 * BATCH),
    step_tokens=st.integers(0, 4 * BATCH),
)


class World:
    """A ceiling, a clock, and numbered readings."""

    def __init__(self) -> None:
        self.ceiling = Ceiling(MOST, BATCH, RULES)
        self.now, self.number = 0.0, 0

    def read(self, after: float = 1.0, **more: float) -> int:
        """A fresh reading, in which everything that may be is in flight, unless it says otherwise."""
        self.now += after
        self.number += 1
        full = replace(QUIET, number=self.number, tokens=self.ceiling.tokens)
        return self.ceiling.observe(self.now, replace(full, **more))  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.floats(0, 100), readings), max_size=50))
def test_it_stays_between_one_batch_and_all(steps: list[tuple[float, Reading]]) -> None:
    """Whatever an engine says, restarts among it, and it grows by a batch at most."""
    ceiling, now = Ceiling(MOST, BATCH, RULES), 0.0
    for after, reading in steps:
        now += after
        before = ceiling.tokens
        assert BATCH <= ceiling.observe(now, reading) <= min(MOST * BATCH, before + BATCH)


@given(st.lists(st.tuples(st.floats(0, 100), readings), max_size=50))
def test_full_memory_and_preemptions_never_raise_it(steps: list[tuple[float, Reading]]) -> None:
    """In whatever state it is."""
    ceiling, now, preemptions = Ceiling(MOST, BATCH, RULES), 0.0, 0
    for number, (after, reading) in enumerate(steps):
        now += after
        short = reading.cache_usage > RULES.high_cache or (number > 0 and reading.preemptions > preemptions)
        preemptions, before = reading.preemptions, ceiling.tokens
        found = ceiling.observe(now, replace(reading, number=number))
        assert not short or found <= before


def test_an_empty_queue_raises_it_batch_by_batch() -> None:
    """With a pause after each, up to the most."""
    world = World()
    assert [world.read() for _ in range(10)] == [BATCH * n for n in (3, 4, 5, 6, 7, 8, 9, 10, 10, 10)]
    world = World()
    assert [world.read(0.4) for _ in range(6)] == [3000, 3000, 3000, 4000, 4000, 4000]


def test_the_same_reading_is_no_news() -> None:
    """A server is read once a second, and asked for room at every answer."""
    world = World()
    world.read()
    again = replace(QUIET, number=world.number, tokens=world.ceiling.tokens)
    assert [world.ceiling.observe(world.now + after, again) for after in (5, 10, 15)] == [3000] * 3


def test_it_grows_where_one_step_takes_all_that_may_be_in_flight() -> None:
    """At the reading nothing is left then, but it was."""
    world = World()
    for _ in range(3):
        before = world.ceiling.tokens
        same = replace(QUIET, number=world.number, tokens=before)
        world.ceiling.observe(world.now, same)
        assert world.read(tokens=0, running=0) == before + BATCH


@pytest.mark.parametrize("more", [{"waiting": 1}, {"tokens": 1000}, {"cache_usage": 0.8}])
def test_it_grows_only_where_the_engine_could_use_more(more: dict[str, float]) -> None:
    """Not with something in its queue, not far below the ceiling, not with the cache filling up."""
    world = World()
    assert [world.read(**more) for _ in range(5)] == [2000] * 5


def test_a_queue_beyond_one_steps_work_is_taken_back_at_once() -> None:
    """What is too much of it: never less than the step, and what the step takes, is left."""
    world = World()
    for _ in range(8):
        world.read()
    assert world.read(running=0, waiting=100, step_tokens=3000, tokens=10_000) == 3000
    world = World()
    for _ in range(8):
        world.read()
    assert world.read(running=50, waiting=50, step_tokens=3000, tokens=10_000) == 8000


def test_short_memory_cuts_at_once_and_once() -> None:
    """No hold-off; and what has not come down to the ceiling yet tells nothing new."""
    world = World()
    for _ in range(8):
        world.read()
    assert world.read(0.0, preemptions=1) == 8000
    assert world.read(0.0, preemptions=2, tokens=9000) == 8000
    assert world.read(0.0, preemptions=3, tokens=8000) == 6400
    assert world.read(0.0, preemptions=3, cache_usage=0.95, tokens=6400) == 5120
    assert world.read(0.0, preemptions=3, cache_usage=0.95, tokens=10) == BATCH


def test_it_stays_below_where_memory_was_short_for_a_while() -> None:
    """So preemptions level off; then it tries again, because reviews change."""
    world = World()
    for _ in range(8):
        world.read()
    world.read(preemptions=1)
    most = max(world.read(preemptions=1) for _ in range(50))
    assert most == 9000
    assert max(world.read(preemptions=1) for _ in range(20)) == 10_000


def _short_at(world: World, level: int, seconds: int) -> list[float]:
    """When memory was short, of an engine that has none left at `level` tokens, read once a second."""
    found: list[float] = []
    for _ in range(seconds):
        if world.ceiling.tokens >= level:
            found.append(world.now)
        world.read(preemptions=len(found))
    return found


def test_where_memory_stays_short_it_is_tried_half_as_often_each_time() -> None:
    """So preemptions level off, down to one try in half an hour."""
    found = _short_at(World(), 8000, 20_000)
    early = [when for when in found if when < 2000]
    late = [when for when in found if when >= 2000]
    assert len(early) >= 4
    assert 5 <= len(late) <= 2 * (18_000 / RULES.probe_max)


def test_where_memory_suffices_again_it_goes_a_batch_further_at_a_time_and_sooner_each_time() -> None:
    """Down to `probe`."""
    world = World()
    _short_at(world, 6000, 1500)
    moved: list[float] = []
    while world.ceiling.tokens < 10_000:
        before = world.ceiling.tokens
        if world.read(preemptions=world.ceiling._preemptions) > before >= 5000:
            moved.append(world.now)
    pauses = [later - earlier for earlier, later in pairwise(moved)]
    assert all(RULES.probe <= later <= earlier for earlier, later in pairwise(pauses))
    assert pauses[-1] < pauses[0]


def test_preemptions_before_the_first_reading_and_of_an_earlier_engine_do_not_count() -> None:
    """They are history."""
    world = World()
    assert world.read(preemptions=7) == 3000
    world.number = -1
    assert world.read(preemptions=2) == 4000


@pytest.mark.parametrize("wrong", [{"low_cache": 0.95}, {"cut": 1.0}, {"start_batches": 0}, {"hold_off": -1.0}])
def test_rules_that_contradict_are_refused(wrong: dict[str, float]) -> None:
    """With what they were."""
    with pytest.raises(ValueError, match="rules need"):
        CeilingRules(**wrong)  # type: ignore[arg-type]


def test_admission_asks_for_the_ceiling_before_it_says_what_room_there_is() -> None:
    """With what is in flight then."""
    asked: list[int] = []

    def adapt(tokens: int) -> int:
        asked.append(tokens)
        return 3000

    admission = Admission(10, 1000, adapt)
    assert admission.room() == 3000
    admission.admit(1000)
    assert admission.room() == 2000
    assert (asked[0], asked[-1]) == (0, 1000)
