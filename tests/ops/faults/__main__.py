"""`python -m tests.ops.faults`: stage each fault, write the table into deploy/README.md. Status 1: one was not seen.

`--only NAME` (again and again), without the table; `--healthy SECONDS`; `--folder DIR` keeps logs and samples;
`--pictures` draws the dashboards as they looked over the whole run.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
from pathlib import Path

from tests.ops.faults import report
from tests.ops.faults.plan import FAULTS
from tests.ops.faults.watching import Period, healthy, show
from tests.ops.pictures import draw_all
from tests.ops.stage import staged

HOUR_SECONDS = 120.0
"""An hour, compressed."""


async def main(arguments: argparse.Namespace, folder: Path) -> int:
    """Run; the exit status."""
    faults = [fault for fault in FAULTS if not arguments.only or fault.name in arguments.only]
    seen: list[Period] = []
    async with staged(folder) as stage:
        calm = await healthy(stage, arguments.healthy)
        _say(calm)
        for fault in faults:
            seen.append(await show(stage, fault))
            _say(seen[-1])
        if arguments.pictures:
            await asyncio.to_thread(draw_all, stage.prometheus, calm.start, (seen or [calm])[-1].end)
    if not arguments.only:
        report.write(report.table(calm, seen))
    for problem in (wrong := report.problems(calm, seen)):
        print(problem)
    return bool(wrong)


def _say(period: Period) -> None:
    alerts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in period.alerts.items())
    print(
        f"{period.name} ({period.end - period.start:.0f} s): {alerts or 'no alert'}; red: {sorted(period.red)}",
        flush=True,
    )


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.ops.faults")
    parser.add_argument("--only", action="append", choices=[fault.name for fault in FAULTS])
    parser.add_argument("--healthy", type=float, default=HOUR_SECONDS, metavar="SECONDS")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--pictures", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    given = _parsed()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a broker that is down is meant to be
    with tempfile.TemporaryDirectory(prefix="ops-") as temporary:
        sys.exit(asyncio.run(main(given, given.folder or Path(temporary) / "run")))
