"""The simulator: its machine keeps its bounds, and on it the real stream code keeps an engine full and in its memory.

Figures here are simulated, and the same on every machine: the clock is virtual.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.benchmarks.simulator import experiments
from tests.benchmarks.simulator.hardware import A100, GPUS, H100, RTX_3090, Gpu
from tests.benchmarks.simulator.machine import Limits, Machine, Sequence, Work


def _unit(_work: Work) -> float:
    return 1.0


sequences = st.builds(
    Sequence,
    prompt=st.integers(1, 60),
    output=st.integers(1, 40),
    cached=st.integers(0, 20),
    priority=st.integers(0, 1),
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(sequences, min_size=1, max_size=30),
    st.integers(1, 8),
    st.integers(1, 64),
    st.sampled_from(["preempting", "reserving"]),
)
def test_every_sequence_ends_within_the_bounds(found: list[Sequence], most: int, tokens: int, way: str) -> None:
    """Blocks, sequences and tokens of a step are never exceeded; all blocks come back."""
    limits = Limits(most, tokens, block=4, blocks=25)
    machine = Machine(limits, _unit, reserving=way == "reserving")
    for sequence in found:
        machine.add(sequence)
    ended = 0
    for _ in range(100_000):
        if not len(machine):
            break
        step = machine.step()
        ended += len(step.finished)
        assert step.work.tokens <= tokens
        assert len(machine.running) <= most
        assert 0 <= machine.used <= 25
    assert ended == len(found)
    assert machine.used == 0
    assert way == "preempting" or machine.preemptions == 0


def test_a_preempted_sequence_is_computed_anew_where_its_blocks_were_taken() -> None:
    """The latest one gives up its six blocks, of which the other takes three, the last ones first."""
    machine = Machine(Limits(8, 100, block=1, blocks=12), _unit)
    first, second = Sequence(4, 6), Sequence(4, 6)
    machine.add(first)
    machine.add(second)
    computed = 0
    while len(machine):
        computed += machine.step().work.tokens
    assert (first.preemptions, second.preemptions) == (0, 1)
    assert computed == 2 * (4 + 5) + 3  # all but the last token of each, and what was taken of the second


def test_a_sequence_larger_than_the_cache_is_refused() -> None:
    """It would wait for ever."""
    with pytest.raises(ValueError, match="larger than the KV cache"):
        Machine(Limits(8, 100, block=1, blocks=9), _unit).add(Sequence(4, 6))


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: gpu.name)
def test_with_a_backlog_the_engine_is_kept_busy_and_within_its_memory(gpu: Gpu) -> None:
    """Labels alone; 10,000 batches by hand: see consumer/README.md."""
    ours, fixed = experiments.backlog(gpu, 3000, summaries=False), experiments.fixed_batches(gpu, 3000)
    assert ours.answered == fixed.answered == 3000
    assert ours.busy >= 0.9
    assert ours.preempted == 0
    assert ours.demand <= ours.held <= 0.5
    assert fixed.held > 3 * ours.held
    assert gpu is H100 or fixed.held > 1  # more than there is


def test_summaries_beside_labels_are_hardly_ever_preempted() -> None:
    """Sequences that grow while they run."""
    found = experiments.backlog(A100, 2000, summaries=True)
    assert found.busy >= 0.9
    assert found.preempted < 0.01
    assert found.demand <= 1


def test_restaurants_at_once_against_one_after_another() -> None:
    """All three analyses of each."""
    (ten,) = experiments.restaurants(A100, [10])
    assert ten.cut >= 0.8
    assert ten.speed >= 5


def test_an_urgent_review_is_answered_before_two_hundredths_of_a_flood() -> None:
    """Of another restaurant, behind 10,000 unhurried ones."""
    found = experiments.flood(RTX_3090, 10_000)
    assert found.answered_before < 200


def test_unhurried_reviews_are_answered_though_urgent_ones_never_end() -> None:
    """By ageing."""
    found = experiments.starvation(H100, 50, 30.0)
    assert found.answered == 50
    assert found.urgent > 1000


def test_it_is_the_same_every_time() -> None:
    """A seed is a run."""
    assert experiments.backlog(A100, 500, summaries=True) == experiments.backlog(A100, 500, summaries=True)
