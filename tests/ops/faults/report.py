"""The table in deploy/README.md, from a real run."""

import re
from collections.abc import Sequence
from typing import Final

from tests.ops.deployed import DEPLOY
from tests.ops.faults.plan import FAULTS
from tests.ops.faults.watching import Period
from tests.ops.scaling import FACTOR

PAGE: Final = DEPLOY / "README.md"
MARKS: Final = ("<!-- faults: made by `python -m tests.ops.faults` -->\n", "\n<!-- end of faults -->")


def table(calm: Period, seen: Sequence[Period]) -> str:
    """One row a fault: what was done, which alerts fired and after how long, which panels turned red."""
    how = {fault.name: fault.how for fault in FAULTS}
    rows = [f"| {p.name} | {how[p.name]} | {_alerts(p)} | {_panels(p, calm)} |" for p in seen]
    hour = f"| nothing, for {(calm.end - calm.start) * FACTOR / 60:.0f} min | | {_alerts(calm)} | {_panels(calm)} |"
    return "\n".join(
        ("| fault | staged as | alerts, after | panels that turned red |", "|---|---|---|---|", hour, *rows)
    )


def write(made: str) -> None:
    """Put it between the marks."""
    page = PAGE.read_text("utf-8")
    start, end = MARKS
    pattern = f"{re.escape(start)}.*?{re.escape(end)}"
    PAGE.write_text(re.sub(pattern, lambda _: f"{start}{made}{end}", page, flags=re.DOTALL), "utf-8")


def problems(calm: Period, seen: Sequence[Period]) -> list[str]:
    """What must not be: an alert or red panel while all is well, a fault without its alerts or without any panel."""
    found = [f"healthy, and {name} fired" for name in calm.alerts]
    found += [f"healthy, and the panel {title!r} turned red" for title in calm.red]
    wanted = {fault.name: fault.alerts for fault in FAULTS}
    for period in seen:
        found += [f"{period.name}: {name} did not fire" for name in wanted[period.name] - set(period.alerts)]
        if not period.red - calm.red:
            found.append(f"{period.name}: no panel turned red")
    return found


def _alerts(period: Period) -> str:
    in_order = sorted(period.alerts.items(), key=lambda pair: pair[1])
    return ", ".join(f"`{name}` {seconds * FACTOR / 60:.0f} min" for name, seconds in in_order) or "none"


def _panels(period: Period, calm: Period | None = None) -> str:
    return "; ".join(sorted(period.red - (calm.red if calm else frozenset()))) or "none"
