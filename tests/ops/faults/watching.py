"""A fault is staged, and what Prometheus makes of it read back: alerts that fired, panels that turned red."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from deploy.grafana.__main__ import FILES
from deploy.grafana.parts import Panel
from tests.ops.faults.plan import Fault
from tests.ops.prometheus import Prometheus
from tests.ops.scaling import FACTOR, SCRAPE_SECONDS, SLOW_SECONDS, scaled_query
from tests.ops.stage import Stage

SEEN_SECONDS: Final = 90.0
"""Until the alerts of a fault must have fired; 45 minutes of production."""
CALM_SECONDS: Final = 150.0
"""Until none may fire any more after the end of the one before; an hour and a quarter."""
STEP_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Period:
    """From when to when, seconds since 1970, and what showed meanwhile: alerts and after how many seconds; panels."""

    name: str
    start: float
    end: float
    alerts: Mapping[str, float]
    red: frozenset[str]


async def healthy(stage: Stage, seconds: float) -> Period:
    """Nothing is done to it for so long."""
    start = time.time()
    await asyncio.sleep(seconds)
    return await asyncio.to_thread(_seen, stage.prometheus, "healthy", start, time.time())


async def show(stage: Stage, fault: Fault) -> Period:
    """Wait until all is calm, then stage it until its alerts have fired, or too long."""
    await stage.until_ready()
    await stage.until(lambda firing: not firing, CALM_SECONDS)
    start = time.time()
    async with fault.present(stage):
        await stage.until(lambda firing: fault.alerts <= firing, SEEN_SECONDS)
        await asyncio.sleep(4 * SCRAPE_SECONDS)  # panels are read at steps
        end = time.time()
    return await asyncio.to_thread(_seen, stage.prometheus, fault.name, start, end)


def is_red(panel: Panel, values: Sequence[float]) -> bool:
    """Whether two values in a row are beyond the threshold, which is scaled where it is of how late results are."""
    late = panel.unit == "s" and (panel.bad_above or 0) >= SLOW_SECONDS
    above = panel.bad_above / FACTOR if late and panel.bad_above else panel.bad_above
    below = panel.bad_below
    beyond = [(above is not None and value >= above) or (below is not None and value < below) for value in values]
    return any(one and following for one, following in pairwise(beyond))


def _seen(prometheus: Prometheus, name: str, start: float, end: float) -> Period:
    found = prometheus.query_range('ALERTS{alertstate="firing"}', start, end, SCRAPE_SECONDS)
    first: dict[str, float] = {}
    for series in found:
        alert, after = series.labels["alertname"], series.points[0][0] - start
        first[alert] = min(after, first.get(alert, after))
    before = frozenset(_red(prometheus, start - 3 * STEP_SECONDS, start))  # an hour's share is red for an hour
    return Period(name, start, end, first, frozenset(_red(prometheus, start, end)) - before)


def _red(prometheus: Prometheus, start: float, end: float) -> Iterable[str]:
    for dashboard in FILES.values():
        for panel in dashboard.panels():
            if panel.bad_above is None and panel.bad_below is None:
                continue
            for query in panel.queries:
                series = prometheus.query_range(scaled_query(query.expr, FACTOR), start, end, STEP_SECONDS)
                if any(is_red(panel, one.values) for one in series):
                    yield panel.title
