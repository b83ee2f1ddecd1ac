"""What a step costs, fitted on recorded runs, and what the machine with that cost predicts of others."""

import json
from collections.abc import Iterator
from collections.abc import Sequence as Many
from dataclasses import asdict, dataclass, replace
from itertools import islice, pairwise
from pathlib import Path

import numpy as np

from tests.benchmarks.simulator.machine import Machine, Sequence, Step, Work
from tests.benchmarks.simulator.runs import Run, StepRow

FITTED = Path(__file__).parent / "fitted.json"


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of a step: a fixed part, and so much for each of what it computes."""

    fixed: float
    prefill_token: float
    decoded_sequence: float
    first_token: float
    """Of a prompt that ends in the step."""
    context_token: float

    def __call__(self, work: Work) -> float:
        """Seconds."""
        return (
            self.fixed
            + self.prefill_token * (work.tokens - work.decoded)
            + self.decoded_sequence * work.decoded
            + self.first_token * (work.sampled - work.decoded)
            + self.context_token * work.context
        )


def fit(runs: Many[Run]) -> Costs:
    """Least squares over their steps, each weighted by its length: disturbances add up over it, so variance does."""
    rows = [(_parts(step), seconds) for run in runs for step, seconds in durations(run)]
    parts, seconds = np.array([parts for parts, _ in rows]), np.array([seconds for _, seconds in rows])
    weights = seconds**-0.5
    found, *_ = np.linalg.lstsq(parts * weights[:, None], seconds * weights, rcond=None)
    return Costs(*(round(float(value), 9) for value in found))


def _parts(step: StepRow) -> list[int]:
    return [1, step.prefill, step.decoded, step.sampled - step.decoded, step.context]


def durations(run: Run) -> list[tuple[StepRow, float]]:
    """Each step's seconds, to the next one's begin: what lies between them is part of its price."""
    last = run.steps[-1]
    return [*((one, then.began - one.began) for one, then in pairwise(run.steps)), (last, last.ended - last.began)]


@dataclass(frozen=True, slots=True)
class Prediction:
    """Of a run."""

    seconds: float
    steps: int
    preemptions: int

    def error(self, run: Run) -> float:
        """Of the seconds, as a fraction."""
        return self.seconds / run.seconds - 1


def predict(run: Run, costs: Costs, *, blocks: bool = True, reserving: bool = False) -> Prediction:
    """What the machine does with the run's requests. Without `blocks` it is never short of any."""
    machine = machine_for(run, costs, blocks=blocks, reserving=reserving)
    took = list(steps(machine, run))
    return Prediction(sum(step.seconds for step in took), len(took), machine.preemptions)


def machine_for(run: Run, costs: Costs, *, blocks: bool = True, reserving: bool = False) -> Machine:
    """With the limits of its engine."""
    return Machine(run.limits if blocks else replace(run.limits, blocks=None), costs, reserving=reserving)


def steps(machine: Machine, run: Run) -> Iterator[Step]:
    """An answer makes room for the next request, which comes while the step after that is computed.

    An idle engine begins with the first that comes, and the others come during its step; only of the run's own first
    step it is known who came in time.
    """
    left = iter(Sequence(its.prompt, its.output, its.cached, its.priority) for its in run.requests)
    due, in_time = run.in_flight, sum(its.arrived <= 0 for its in run.requests)
    while True:
        if not len(machine):
            due -= in_time
            _send(machine, left, in_time)
            in_time = 1
        if not len(machine):
            return
        step = machine.step()
        yield step
        _send(machine, left, due)
        due = len(step.finished)


def _send(machine: Machine, left: Iterator[Sequence], count: int) -> None:
    for sequence in islice(left, count):
        machine.add(sequence)


def save(costs: Costs, runs: Many[Run]) -> None:
    """With what they were fitted on."""
    one = runs[0].about
    about = {name: one[name] for name in ("model", "vllm", "cpu", "threads", "engine_args")}
    fitted_on = {run.about["name"]: len(run.steps) for run in runs}
    FITTED.write_text(json.dumps({"seconds": asdict(costs), "steps": fitted_on, **about}, indent=1) + "\n", "utf-8")


def load() -> Costs:
    """As saved."""
    return Costs(**json.loads(FITTED.read_text("utf-8"))["seconds"])
