"""The kept results as tables: `results/*.json` between the marks of the pages, which a test compares.

    python -m tests.benchmarks.tables

Prints the tables that there are results for, and writes them into tests/README.md and consumer/README.md.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.keeping import RESULTS

PAGES = tuple(Path(__file__).parents[2] / folder / "README.md" for folder in ("tests", "consumer"))
NOT_MEASURED = "No results are kept yet."


def main() -> None:
    """Print, and rewrite the pages."""
    for name in TABLES:
        if (RESULTS / f"{name}.json").exists():
            print(f"{name}\n\n{block(name, RESULTS)}\n")
    for page in PAGES:
        page.write_text(filled(page.read_text("utf-8"), RESULTS), "utf-8")


def filled(page: str, results: Path) -> str:
    """The page with what lies between its marks made anew. Raises KeyError for a mark of no benchmark."""

    def made(found: re.Match[str]) -> str:
        return f"{found['begin']}\n{block(found['name'], results)}\n{found['end']}"

    marked = r"(?P<begin><!-- bench:(?P<name>\w+) -->)\n.*?(?P<end><!-- /bench:(?P=name) -->)"
    return re.sub(marked, made, page, flags=re.DOTALL)


def block(name: str, results: Path) -> str:
    """A benchmark's table, and what it was measured on."""
    table, path = TABLES[name], results / f"{name}.json"
    if not path.exists():
        return NOT_MEASURED
    document = json.loads(path.read_text("utf-8"))
    return f"{_measured(document)}\n\n{table(document['figures'])}"


def plumbing(figures: Mapping[str, Any]) -> str:
    """Medians of the rounds; ratios of rates, round by round."""
    rows = [
        (name, _whole(_of(runs, "records_per_second")), f"{_of(runs, 'cpu_seconds'):.1f}")
        for name, runs in figures["runs"].items()
    ]
    rates = _table(("", "records/s", f"CPU s of {figures['records']:,} records"), rows)
    return f"{rates}\n\n{_table(('ratio', 'mean (95 %)'), list(figures['ratios'].items()))}"


def latency(figures: Sequence[Mapping[str, Any]]) -> str:
    """One row a run; milliseconds."""
    head = ("delivery", "load", "arrivals/s", "p50 ms", "p99 ms", "p99.9 ms", "queue, mean ms", "engine", "publish")
    rows = [
        (
            str(one["delivery"]).replace("_", " "),
            f"{one['share']:.0%}",
            _whole(one["arrivals_per_second"]),
            *(f"{one[name]:.1f}" for name in ("p50", "p99", "p999")),
            *(f"{one['stages'][stage]:.1f}" for stage in ("queue", "engine", "publish")),
        )
        for one in figures
    ]
    return _table(head, rows)


def scale(figures: Mapping[str, Any]) -> str:
    """Members, restaurants and backlogs: a table each, of those that were measured."""
    costs = {"cpu_us_per_record": "CPU µs a record", "most_mb": "most memory, MB"}
    tables = {
        "members": partial(_members, ratios=figures.get("ratios", {})),
        "restaurants": partial(_columns, named={"restaurants": "restaurants", "records": "records", **costs}),
        "backlogs": partial(_columns, named={"records": "backlog, records", **costs}),
    }
    return "\n\n".join(table(figures[name]) for name, table in tables.items() if name in figures)


def steps(figures: Mapping[str, Any]) -> str:
    """Microseconds of processor time a record, by step; the dearest first, as in the first way of delivery."""
    costs = {way: {"all of it": found["cpu_us_per_record"], **found["steps"]} for way, found in figures.items()}
    names = dict.fromkeys(step for found in costs.values() for step in found)
    rows = [(step, *(f"{found.get(step, 0.0):.1f}" for found in costs.values())) for step in names]
    return _table(("CPU µs a record", *(way.replace("_", " ") for way in costs)), rows)


def saturation(figures: Mapping[str, Any]) -> str:
    """One row a workload and way: medians of the rounds; how many times as fast ours is, round by round."""
    head = ("asked for", "way", "s", "a second", "prompts", "failed", "ours against it")
    return _table(head, [row for case in figures["cases"] for row in _ways(case)])


def _ways(case: Mapping[str, Any]) -> list[tuple[str, ...]]:
    asked, ratios = f"{case['kind']}, {case['size']:,} {case['unit']}", case["ratios"]
    rows = []
    for name, runs in case["runs"].items():
        seconds = _of(runs, "seconds")
        prompts, failed = (_whole(_of(runs, field)) for field in ("prompts", "failed"))
        shown = f"{seconds:.1f}", f"{case['size'] / seconds:.2f}", prompts, failed
        rows.append((asked, name, *shown, ratios.get(name, "")))
    borrowed = [(asked, name, "", "", "", "", ratio) for name, ratio in ratios.items() if name not in case["runs"]]
    return [*borrowed, *rows]


def _members(found: Sequence[Mapping[str, Any]], ratios: Mapping[str, str]) -> str:
    """Medians of the rounds, and the ratio to one member."""
    rows = [
        (str(count), _whole(median(one["records_per_second"])), ratios.get(f"{count} members / 1", ""))
        for one in found
        for count in (one["members"],)
    ]
    return _table(("members", "records/s", "times one member's"), rows)


def _columns(found: Sequence[Mapping[str, float]], named: Mapping[str, str]) -> str:
    """Whole numbers of these fields, under these names."""
    return _table(list(named.values()), [[_whole(one[field]) for field in named] for one in found])


def _measured(document: Mapping[str, Any]) -> str:
    machine, versions = document["machine"], document["versions"]
    packages = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    return (
        f"`{document['command']}`, {document['measured_at'][:10]}, at {document['commit']}: "
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB; {packages}."
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def _of(runs: Sequence[Mapping[str, float]], field: str) -> float:
    return median(run[field] for run in runs)


def _whole(number: float) -> str:
    return f"{number:,.0f}"


TABLES: Mapping[str, Callable[[Any], str]] = {
    "plumbing": plumbing,
    **dict.fromkeys(
        ("saturation_sentiment", "saturation_summary", "saturation_strength", "saturation_openai"), saturation
    ),
    "latency": latency,
    "scale": scale,
    "steps": steps,
}


if __name__ == "__main__":
    main()
