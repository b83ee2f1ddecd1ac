"""What a run has to say: figures, problems, the exit status."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from tests.chaos.comparison import DISORDERED, DOUBLED, LOST, Problem
from tests.chaos.jobs import REPEATED


@dataclass(slots=True)
class Report:
    """The figures of a run, and what is wrong."""

    delivery: str
    seconds: float
    seed: int
    done: dict[str, int] = field(default_factory=dict)
    """How often each kind of happening came."""
    rebalances: int = 0
    own_exits: int = 0
    records: int = 0
    results: int = 0
    dead_letters: int = 0
    drained_in: float | None = None
    """Seconds from the last happening's end until the offsets were at the input's end; None: not in time."""
    settled_in: float | None = None
    """Seconds from there until every summary and all strengths were up to date; None: not in time."""
    summaries: int = 0
    strengths: int = 0
    found: list[Problem] = field(default_factory=list)
    """What the comparison found."""
    failures: list[str] = field(default_factory=list)
    """What else went wrong."""

    def count(self, what: str) -> int:
        """How many cases of one kind the comparison found."""
        return sum(problem.count for problem in self.found if problem.what == what)

    def problems(self) -> list[str]:
        """What makes the run a failure. At least once promises no more than that nothing is lost."""
        allowed = {DOUBLED, REPEATED} if self.delivery == "at_least_once" else set()
        counted = [
            f"{problem.count} {problem.what}, such as {'; '.join(problem.examples)}"
            for problem in self.found
            if problem.what not in allowed
        ]
        return counted + self.failures

    def rows(self) -> Sequence[tuple[str, object]]:
        """The table."""
        return [
            ("delivery", self.delivery),
            ("seconds", f"{self.seconds:g}"),
            ("seed", self.seed),
            *((f"{kind}s", count) for kind, count in self.done.items()),
            ("rebalances", self.rebalances),
            ("own exits", self.own_exits),
            ("records", self.records),
            ("results", self.results),
            ("dead letters", self.dead_letters),
            ("lost", self.count(LOST)),
            ("doubled", self.count(DOUBLED)),
            ("out of order", self.count(DISORDERED)),
            ("summaries", self.summaries),
            ("strengths", self.strengths),
            ("jobs repeated", self.count(REPEATED)),
            ("drained in", _time(self.drained_in)),
            ("settled in", _time(self.settled_in)),
        ]

    def text(self) -> str:
        """The table, then what is wrong."""
        rows = [f"{name:14}{value}" for name, value in self.rows()]
        return "\n".join([*rows, *(f"WRONG: {problem}" for problem in self.problems())])

    def document(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self) | {
            "lost": self.count(LOST),
            "doubled": self.count(DOUBLED),
            "out_of_order": self.count(DISORDERED),
            "problems": self.problems(),
        }


def _time(seconds: float | None) -> str:
    return "not in time" if seconds is None else f"{seconds:.1f} s"
