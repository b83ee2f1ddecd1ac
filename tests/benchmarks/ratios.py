"""Paired ratios of what was measured in one run, with their interval: noise that both share cancels. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import mean, stdev

_T = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26}
"""Student's t, two-sided 95 %, by degrees of freedom; above 9 the last one is kept, which errs to the wide side."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """Geometric mean of the rounds' ratios, and its 95 % interval (Student's t on their logarithms)."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        """As in the tables: 1.52 (1.40 to 1.65)."""
        return f"{self.mean:.2f} ({self.low:.2f} to {self.high:.2f})"


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Round by round. One round alone has no interval: it is the ratio itself. Raises ValueError without any."""
    logs = [log(one / other) for one, other in zip(ours, theirs, strict=True)]
    if not logs:
        raise ValueError("no rounds to compare")
    middle = mean(logs)
    free = len(logs) - 1
    half = _T[min(free, max(_T))] * stdev(logs) / sqrt(len(logs)) if free else 0.0
    return Ratio(exp(middle), exp(middle - half), exp(middle + half))
