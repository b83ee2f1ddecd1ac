"""Halving: the killers, and they alone, are convicted, after three deaths alone each, in a bounded number of deaths."""

import math
from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from consumer.stream.suspects import ALONE_DEATHS, MAX_SUSPECTS, Known, Progress, Suspects

NAMES = st.lists(st.integers(0, 200).map(str), unique=True, min_size=1, max_size=60)


class World:
    """An engine that dies of killers, and a caller that keeps to `Suspects`; both without a clock."""

    def __init__(self, killers: set[str], at_once: int, draw: st.DataObject) -> None:
        self.killers, self.at_once, self.draw = killers, at_once, draw
        self.suspects = Suspects()
        self.answered: list[str] = []
        self.deaths = 0
        self.alone: Counter[str] = Counter()

    def run(self, names: Sequence[str]) -> None:
        """Until every name is answered or convicted."""
        left = list(names)
        while left := [n for n in left if n not in self.answered and not self.suspects.is_killer(n)]:
            trial = self.suspects.next_trial(left)
            fresh = [n for n in left if n not in self.suspects]
            assert trial or fresh
            assert all(n in self.suspects for n in trial)
            self.fly((trial or fresh)[: self.at_once])

    def fly(self, flight: Sequence[str]) -> None:
        """Some are answered, in any order; then the engine dies, if a killer is left."""
        order = self.draw.draw(st.permutations(flight))
        deadly = next((place for place, name in enumerate(order) if name in self.killers), len(order))
        for name in order[:deadly]:
            self.answered.append(name)
            self.suspects.outlived(name)
        if open_ := order[deadly:]:
            self.deaths += 1
            self.alone.update(open_ if len(open_) == 1 else [])
            self.suspects.died(open_)
            if self.draw.draw(st.booleans()):  # and the process with it
                self.suspects = Suspects(self.suspects.known())


@given(NAMES, st.integers(1, 60), st.data())
def test_killers_and_only_killers_are_convicted(names: list[str], at_once: int, data: st.DataObject) -> None:
    """K killers, at most N in flight: every other is answered once, in at most K x (ceil(log2 N) + 3) deaths."""
    killers = set(data.draw(st.lists(st.sampled_from(names), unique=True)))
    world = World(killers, at_once, data)
    world.run(names)
    assert sorted(world.answered) == sorted(set(names) - killers)
    assert {name for name in names if world.suspects.is_killer(name)} == killers
    assert world.alone == dict.fromkeys(killers, ALONE_DEATHS)
    most = min(at_once, len(names))
    assert world.deaths <= len(killers) * (math.ceil(math.log2(most)) + ALONE_DEATHS)
    assert len(world.suspects) == 0


@given(NAMES, st.data())
def test_a_death_that_was_nobodys_fault_accuses_nobody_for_long(names: list[str], data: st.DataObject) -> None:
    """Killed from outside: everything in flight is tried in two halves, and cleared."""
    world = World(set(), len(names), data)
    world.suspects.died(names)
    assert len(world.suspects) == len(names)
    halves = [world.suspects.next_trial(names)]
    world.run(halves[0])
    halves.append(world.suspects.next_trial(names))
    world.run(halves[1])
    assert [*halves[0], *halves[1]] == names
    assert len(halves[0]) in (len(names) // 2, 1)
    assert (len(world.suspects), world.deaths) == (0, 0)


@given(st.lists(NAMES, max_size=5))
def test_what_is_known_is_known_again(deaths: list[list[str]]) -> None:
    """In another process, in the same order."""
    suspects = Suspects()
    for names in deaths:
        suspects.died(names)
    again = Suspects(suspects.known())
    assert again.known() == suspects.known()
    everyone = [str(n) for n in range(201)]
    assert again.next_trial(everyone) == suspects.next_trial(everyone)


def test_two_deaths_alone_are_no_verdict() -> None:
    """And an answer clears what was counted."""
    suspects = Suspects()
    suspects.died(["a"])
    suspects.died(["a"])
    assert not suspects.is_killer("a")
    suspects.outlived("a")
    suspects.died(["a"])
    suspects.died(["a"])
    assert not suspects.is_killer("a")
    suspects.died(["a"])
    assert suspects.is_killer("a")
    assert "a" not in suspects


def test_who_is_not_here_keeps_nobody_waiting() -> None:
    """A suspect that another member has now is not waited for."""
    suspects = Suspects()
    suspects.died(["a", "b", "c", "d"])
    assert suspects.next_trial(["c", "x", "d"]) == ["c", "d"]
    assert suspects.next_trial(["x"]) == []


def test_what_is_remembered_is_bounded() -> None:
    """The oldest are forgotten: they are most likely another member's."""
    suspects = Suspects()
    for death in range(12):
        suspects.died([f"{death}/{n}" for n in range(MAX_SUSPECTS // 10)])
    assert len(suspects) <= MAX_SUSPECTS
    assert "0/0" not in suspects
    assert "11/0" in suspects


@given(st.lists(st.one_of(st.none(), st.integers(0, 100)), max_size=40))
def test_only_a_smaller_death_or_an_answer_is_progress(failures: list[int | None]) -> None:
    """Without an answer the count grows with each failure, but for each new smallest death."""
    progress, sizes, fruitless = Progress(), list[int](), 0
    for in_flight in failures:
        smaller = bool(in_flight) and bool(sizes) and (in_flight or 0) < min(sizes)
        fruitless = 0 if smaller else fruitless + 1
        progress = progress.failed(in_flight)
        sizes += [in_flight] if in_flight else []
        assert progress.fruitless == fruitless
    assert progress.answered() == Progress()


def test_nothing_known_is_nothing_suspected() -> None:
    """A first start."""
    assert Suspects().known() == Known()
