"""What was measured, and the figures that come of it. Pure, but for the printing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.benchmarks.ratios import paired
from tests.benchmarks.saturation.workloads import Workload

OURS = "through Kafka"
ONE_AT_A_TIME = "one at a time"


@dataclass(frozen=True, slots=True)
class Run:
    """One contestant, once."""

    seconds: float
    """From the first prompt to the last answer; through Kafka to the last commit."""
    prompts: int
    failed: int
    """Restaurants, or reviews, of which an answer was invalid twice."""


@dataclass(frozen=True, slots=True)
class Case:
    """One workload, and each contestant's runs of it."""

    kind: str
    size: int
    unit: str
    runs: dict[str, list[Run]] = field(default_factory=dict)

    def rates(self, name: str) -> list[float]:
        """Reviews or restaurants a second, round by round."""
        return [self.size / run.seconds for run in self.runs[name]]


@dataclass
class Results:
    """All cases, in the order in which they were first measured. `changed` is told after each run."""

    changed: Callable[[Mapping[str, Any]], object]
    cases: list[Case] = field(default_factory=list)

    def add(self, workload: Workload, name: str, run: Run) -> None:
        """Take in a run, and print it."""
        self._case(workload).runs.setdefault(name, []).append(run)
        print(
            f"{workload.kind:10}{workload.size:6} {workload.unit:12} {name:40}{run.seconds:9.1f} s"
            f"{run.prompts:7} prompts {run.failed:4} failed",
            flush=True,
        )
        self.changed(self.figures())

    def figures(self) -> dict[str, Any]:
        """As they are kept."""
        return {"cases": [asdict(case) | {"ratios": compared(case, self.cases)} for case in self.cases]}

    def _case(self, workload: Workload) -> Case:
        wanted = workload.kind, workload.size
        found = next((case for case in self.cases if (case.kind, case.size) == wanted), None)
        if found is None:
            self.cases.append(found := Case(workload.kind, workload.size, workload.unit))
        return found


def compared(case: Case, cases: Sequence[Case]) -> dict[str, str]:
    """Our rate against every other's, with its interval; above 1 ours is the faster. Rounds that both have finished.

    Who was measured with less of the same kind only, as one prompt at a time is, is compared by its rate there.
    """
    ours = next((name for name in case.runs if name.startswith(OURS)), None)
    if ours is None:
        return {}
    theirs = {name: case.rates(name) for name in case.runs if name != ours} | _measured_with_less(case, cases)
    found = {}
    for name, rates in theirs.items():
        if rounds := min(len(rates), len(case.runs[ours])):
            found[name] = str(paired(case.rates(ours)[:rounds], rates[:rounds]))
    return found


def _measured_with_less(case: Case, cases: Sequence[Case]) -> dict[str, list[float]]:
    if ONE_AT_A_TIME in case.runs:
        return {}
    smaller = [one for one in cases if one.kind == case.kind and one.size < case.size and ONE_AT_A_TIME in one.runs]
    if not smaller:
        return {}
    largest = max(smaller, key=lambda one: one.size)
    return {f"{ONE_AT_A_TIME}, as with {largest.size:,}": largest.rates(ONE_AT_A_TIME)}
