"""What a dashboard is made of, and how Grafana's own builders make JSON of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final, Literal

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, text, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import GraphThresholdsStyleMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef, Threshold, ThresholdsMode

DATASOURCE: Final = DataSourceRef(type_val="prometheus", uid="prometheus")
COLUMNS: Final = 24
"""Of Grafana's grid."""
HEIGHT: Final = 8


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression, and what its lines are called."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture. `meaning` says what a bad value means, and where to look next; `unit` is Grafana's id of one.

    bad_above, bad_below: where red begins, drawn as a line.
    """

    title: str
    meaning: str
    unit: str
    queries: tuple[Query, ...]
    kind: Literal["timeseries", "stat"] = "timeseries"
    bad_above: float | None = None
    bad_below: float | None = None
    width: int = 8


@dataclass(frozen=True, slots=True)
class Row:
    """A question, and the panels that answer it."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """`reading`: how to read it, as Markdown, in the first panel."""

    uid: str
    title: str
    reading: str
    rows: tuple[Row, ...]

    def panels(self) -> Iterator[Panel]:
        """All of them, in reading order."""
        for row in self.rows:
            yield from row.panels

    def as_json(self) -> str:
        """As Grafana reads it; the same text for the same dashboard."""
        made = (
            dashboard.Dashboard(self.title)
            .uid(self.uid)
            .tags(["review-consumer"])
            .time("now-1h", "now")
            .refresh("30s")
            .timezone("browser")
            .tooltip(DashboardCursorSync.CROSSHAIR)
            .with_panel(text.Panel().id(1).title("How to read this").content(self.reading).height(5).span(COLUMNS))
        )
        ids = count(2)
        for row in self.rows:
            made.with_row(dashboard.Row(row.title).id(next(ids)))
            for panel in row.panels:
                made.with_panel(_built(panel).id(next(ids)))
        return JSONEncoder(sort_keys=True, indent=1).encode(made.build()) + "\n"


def _built(panel: Panel) -> timeseries.Panel | stat.Panel:
    made: timeseries.Panel | stat.Panel = _lines() if panel.kind == "timeseries" else stat.Panel()
    made.title(panel.title).description(panel.meaning).unit(panel.unit).datasource(DATASOURCE)
    made.span(panel.width).height(HEIGHT).thresholds(_thresholds(panel)).min(0)
    for place, query in enumerate(panel.queries):
        made.with_target(
            prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(chr(ord("A") + place)).range()
        )
    return made


def _lines() -> timeseries.Panel:
    legend = common.VizLegendOptions().show_legend(True).placement(LegendPlacement.BOTTOM)
    style = common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
    return timeseries.Panel().legend(legend).thresholds_style(style).fill_opacity(10)


def _thresholds(panel: Panel) -> dashboard.ThresholdsConfig:
    steps = [Threshold(value=None, color="green")]
    if panel.bad_above is not None:
        steps.append(Threshold(value=panel.bad_above, color="red"))
    if panel.bad_below is not None:
        steps = [Threshold(value=None, color="red"), Threshold(value=panel.bad_below, color="green")]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
