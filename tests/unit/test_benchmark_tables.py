"""What benchmarks keep, as the tables of the pages."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.keeping import RESULTS, command
from tests.benchmarks.tables import NOT_MEASURED, PAGES, TABLES, block, filled

KEPT: dict[str, Any] = {
    "plumbing": {
        "records": 1000,
        "runs": {"ours": [{"records_per_second": rate, "cpu_seconds": 1.25} for rate in (30_000, 10_000, 20_000)]},
        "ratios": {"ours / theirs": "1.52 (1.40 to 1.65)"},
    },
    "latency": [
        {
            "delivery": "exactly_once",
            "share": 0.25,
            "arrivals_per_second": 1250.0,
            "results": 1,
            "p50": 1.04,
            "p99": 2.0,
            "p999": 3.0,
            "stages": {"queue": 4.0, "engine": 5.0, "publish": 6.0},
        }
    ],
    "scale": {
        "members": [{"members": 2, "records_per_second": [3.0, 1.0, 2.0]}],
        "ratios": {"2 members / 1": "1.90 (1.80 to 2.00)"},
        "backlogs": [{"records": 1000, "cpu_us_per_record": 12.4, "most_mb": 99.6}],
    },
    "steps": {
        "exactly_once": {"cpu_us_per_record": 300.04, "steps": {"fold": 20.0, "read": 10.0}},
        "at_least_once": {"cpu_us_per_record": 200.0, "steps": {"read": 12.0}},
    },
    "saturation": {
        "cases": [
            {
                "kind": "summary",
                "size": 50,
                "unit": "restaurants",
                "runs": {"all at once": [{"seconds": 25.0, "prompts": 50, "failed": 0}]},
                "ratios": {"all at once": "0.95 (0.90 to 1.00)", "one at a time, as with 10": "9.00 (8.00 to 10.00)"},
            }
        ]
    },
}
ROWS = {
    "plumbing": ["| ours | 20,000 | 1.2 |", "| ours / theirs | 1.52 (1.40 to 1.65) |"],
    "latency": ["| exactly once | 25% | 1,250 | 1.0 | 2.0 | 3.0 | 4.0 | 5.0 | 6.0 |"],
    "scale": ["| 2 | 2 | 1.90 (1.80 to 2.00) |", "| 1,000 | 12 | 100 |"],
    "steps": ["| all of it | 300.0 | 200.0 |", "| fold | 20.0 | 0.0 |", "| read | 10.0 | 12.0 |"],
    "saturation": [
        "| summary, 50 restaurants | one at a time, as with 10 |  |  |  |  | 9.00 (8.00 to 10.00) |",
        "| summary, 50 restaurants | all at once | 25.0 | 2.00 | 50 | 0 | 0.95 (0.90 to 1.00) |",
    ],
}


def test_the_tables_of_the_pages_are_those_of_the_kept_results() -> None:
    """Run `python -m tests.benchmarks.tables`. There is a place for each."""
    pages = [page.read_text("utf-8") for page in PAGES]
    assert [filled(page, RESULTS) for page in pages] == pages
    assert all(any(f"<!-- bench:{name} -->" in page for page in pages) for name in TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_what_is_kept_becomes_rows_beside_its_command_and_machine(name: str, tmp_path: Path) -> None:
    """Medians, units and ratios, where they belong."""
    benchmark = name.partition("_")[0]
    document = {
        "benchmark": name,
        "command": f"python -m {name}",
        "measured_at": "2025-06-01T10:00:00+00:00",
        "commit": "abc",
        "machine": {"processor": "A CPU", "cores": 2, "memory_gib": 7.8},
        "versions": {"python": "3.11.9", "missing": None},
        "figures": KEPT[benchmark],
    }
    (tmp_path / f"{name}.json").write_text(json.dumps(document), "utf-8")
    page = filled(f"before\n<!-- bench:{name} -->\nold\n<!-- /bench:{name} -->\nafter", tmp_path)
    assert page.startswith(f"before\n<!-- bench:{name} -->\n`python -m {name}`, ")
    assert ", 2025-06-01, at abc: A CPU, 2 cores, 7.8 GiB; python 3.11.9.\n\n| " in page
    assert page.endswith(f"|\n<!-- /bench:{name} -->\nafter")
    for row in ROWS[benchmark]:
        assert f"\n{row}\n" in page


def test_the_command_is_kept_without_the_places_of_the_machine() -> None:
    """As somebody else can type it."""
    given = ["--data", "/somewhere/else", "--ways", "all at once", "--keep"]
    assert command("x_part", given) == "python -m tests.benchmarks.x --data DIR --ways 'all at once'"


def test_what_was_not_measured_says_so(tmp_path: Path) -> None:
    """A mark of no benchmark is a mistake."""
    assert block("scale", tmp_path) == NOT_MEASURED
    with pytest.raises(KeyError):
        filled("<!-- bench:speed -->\n<!-- /bench:speed -->", tmp_path)
