"""Pictures of the dashboards, from scraped data: matplotlib's, not Grafana's, which does not run here."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from deploy.grafana.__main__ import FILES
from deploy.grafana.parts import Dashboard, Panel
from tests.ops.deployed import DEPLOY
from tests.ops.prometheus import Prometheus
from tests.ops.scaling import FACTOR, scaled_query

FOLDER: Final = DEPLOY / "grafana" / "pictures"
COLUMNS: Final = 3
STEPS: Final = 240
_NAMED: Final = 8
"""Lines that the legend has room for."""


def draw_all(prometheus: Prometheus, start: float, end: float) -> list[Path]:
    """One PNG a dashboard, of the samples from start to end, seconds since 1970."""
    FOLDER.mkdir(exist_ok=True)
    return [_draw(prometheus, one, name, start, end) for name, one in FILES.items()]


def _draw(prometheus: Prometheus, dashboard: Dashboard, name: str, start: float, end: float) -> Path:
    panels = list(dashboard.panels())
    rows = -(-len(panels) // COLUMNS)
    figure = Figure(figsize=(15, 2.4 * rows))
    axes = figure.subplots(rows, COLUMNS, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, panel in zip(axes.flat, panels, strict=False):
        _panel(axis, prometheus, panel, start, end)
    drawn = datetime.fromtimestamp(end, UTC).strftime("%Y-%m-%d")
    figure.suptitle(f"{dashboard.title} (matplotlib {mpl.__version__}, {drawn}, times compressed {FACTOR}-fold)")
    figure.tight_layout(rect=(0, 0, 1, 0.98))
    path = FOLDER / name.replace(".json", ".png")
    figure.savefig(path, dpi=70)
    return path


def _panel(axis: Any, prometheus: Prometheus, panel: Panel, start: float, end: float) -> None:
    axis.set_axis_on()
    axis.set_title(panel.title, fontsize=8)
    axis.tick_params(labelsize=6)
    for query in panel.queries:
        expression = scaled_query(query.expr, FACTOR)
        for series in prometheus.query_range(expression, start, end, max(1.0, (end - start) / STEPS)):
            legend = query.legend.replace("{{", "{").replace("}}", "}").format_map(_Missing(series.labels))
            axis.plot([at - start for at, _ in series.points], series.values, label=legend, linewidth=0.8)
    if not axis.lines:
        axis.text(0.5, 0.5, "no data", transform=axis.transAxes, ha="center", fontsize=8, color="grey")
        return
    axis.set_ylim(bottom=0)
    if len(axis.lines) <= _NAMED:
        axis.legend(fontsize=5, loc="upper left")


class _Missing(dict[str, str]):
    """Labels that a series does not have are empty, as in Grafana."""

    def __missing__(self, name: str) -> str:
        return ""
