"""The simulator against real runs of vLLM: costs fitted on some predict others, and only with KV blocks and preemption.

The runs are kept in `tests/benchmarks/simulator/recorded`; nothing is measured here.
"""

from dataclasses import astuple

import pytest

from tests.benchmarks.simulator import fitting
from tests.benchmarks.simulator.blocks import FreeBlocks
from tests.benchmarks.simulator.machine import Step
from tests.benchmarks.simulator.runs import Run, recorded

WITHIN = 0.15
RUNS = recorded()
FITTED = [run for run in RUNS if run.about["fitted"]]
HELD = [run for run in RUNS if not run.about["fitted"]]
COSTS = fitting.fit(FITTED)


def _name(run: Run) -> str:
    return str(run.about["name"])


def _preempting() -> Run:
    (found,) = (run for run in HELD if run.preemptions)
    return found


def test_the_costs_that_are_kept_are_those_of_the_runs_that_are_kept() -> None:
    """And none of them makes a step cheaper."""
    assert astuple(fitting.load()) == pytest.approx(astuple(COSTS), rel=1e-3, abs=1e-8)
    assert min(astuple(COSTS)) >= 0


def test_three_runs_are_kept_apart_and_differ_from_those_of_the_fit() -> None:
    """In what is asked, how long it is, and how much at once; one of them has too few KV blocks."""
    assert len(HELD) == 3
    assert {run.about["what"] for run in HELD} == {"labels", "summaries", "tokens"}
    assert not {run.in_flight for run in HELD} & {run.in_flight for run in FITTED}
    assert sum(run.preemptions for run in FITTED) == 0
    assert _preempting().preemptions >= 5


@pytest.mark.parametrize("run", HELD, ids=_name)
def test_wall_time_is_predicted_within_15_percent(run: Run) -> None:
    """Of runs that the costs have not seen."""
    assert abs(fitting.predict(run, COSTS).error(run)) <= WITHIN


@pytest.mark.parametrize("run", RUNS, ids=_name)
def test_the_machine_takes_the_steps_that_the_engine_took(run: Run) -> None:
    """Token by token, preemption by preemption: whatever a step costs."""
    real = [(step.prefill, step.decoded, step.sampled, step.context, step.preempted) for step in run.steps]
    assert [_made_of(step) for step in fitting.steps(fitting.machine_for(run, COSTS), run)] == real


def _made_of(step: Step) -> tuple[int, ...]:
    work = step.work
    return work.tokens - work.decoded, work.decoded, work.sampled, work.context, step.preempted


@pytest.mark.parametrize("without", [{"blocks": False}, {"reserving": True}], ids=["KV blocks", "preemption"])
def test_without_kv_blocks_or_preemption_the_prediction_fails(without: dict[str, bool]) -> None:
    """So both are what it needs."""
    run = _preempting()
    whole, ablated = fitting.predict(run, COSTS), fitting.predict(run, COSTS, **without)
    assert abs(ablated.error(run)) > WITHIN
    assert abs(ablated.error(run)) > 2 * abs(whole.error(run))
    assert ablated.preemptions == 0


def test_of_free_blocks_the_longest_free_are_taken_first_and_of_one_sequence_the_last() -> None:
    """What is not full holds nothing that could be found."""
    first, second, free = object(), object(), FreeBlocks(10)
    free.take(10)
    free.give(4, 3, first)
    free.give(6, 6, second)
    free.take(1 + 2)
    assert free.find(second) == 6
    assert free.find(first) == 1
    assert free.find(first) == 0
