"""Two of the staged faults, and ten minutes of health; all ten: `python -m tests.ops.faults`."""

from pathlib import Path

import pytest

from tests.ops.faults.plan import FAULTS
from tests.ops.faults.report import MARKS, PAGE, problems
from tests.ops.faults.watching import healthy, show
from tests.ops.stage import staged

SHORT = ("engine dead", "poison flood")
HEALTHY_SECONDS = 20.0


@pytest.mark.timeout(420)
async def test_a_fault_is_seen_and_health_is_quiet(java_kafka: None, tmp_path: Path) -> None:  # noqa: ARG001 - its effect
    """Each has its alerts and a red panel; before them nothing fires and nothing is red."""
    async with staged(tmp_path / "stage") as stage:
        calm = await healthy(stage, HEALTHY_SECONDS)
        seen = [await show(stage, fault) for fault in FAULTS if fault.name in SHORT]
    assert problems(calm, seen) == []


def test_the_table_has_every_fault() -> None:
    """As it was written last, each with an alert and a panel."""
    start, end = MARKS
    rows = [
        line.split(" | ") for line in PAGE.read_text("utf-8").partition(start)[2].partition(end)[0].splitlines()[3:]
    ]
    assert [row[0].strip("| ") for row in rows] == [fault.name for fault in FAULTS]
    for row, fault in zip(rows, FAULTS, strict=True):
        assert all(f"`{alert}`" in row[2] for alert in fault.alerts)
        assert row[3].strip("| ") != "none"
