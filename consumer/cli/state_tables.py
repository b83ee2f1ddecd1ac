"""`state show` for people, from its document."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table
from rich.text import Text

_LISTED = {"summary", "pending_since"}
"""What of a restaurant's state has a form of its own."""


def tables(lane: Mapping[str, Any]) -> Iterator[Table]:
    """One lane: where it stands and its figures, then aspects, reviews, and whatever else there is."""
    yield _figures(lane)
    summary = (lane["state"] or {}).get("summary")
    if summary:
        yield _aspects(summary)
    if newest := lane["reviews"]["newest"]:
        yield _records("the newest reviews", newest)
    if lane["more"]:
        yield _records("more", [{"kind": m["kind"], "about": ", ".join(m["ids"]), **m["value"]} for m in lane["more"]])


def _figures(lane: Mapping[str, Any]) -> Table:
    table = Table(title=f"{lane['topic']}/{lane['partition']}", show_header=False, title_justify="left")
    table.add_column(no_wrap=True)
    table.add_column()
    rows = [*_lane_rows(lane), *_state_rows(lane["state"] or {})]
    if lane["state"] or lane["reviews"]["standing"]:
        reviews = lane["reviews"]
        shown = f"{reviews['standing']} stand, {reviews['deleted']} deleted, {reviews['not_summarised']} not summarised"
        rows.append(("reviews", shown))
    for name, value in rows:
        table.add_row(name, Text(value))
    return table


def _lane_rows(lane: Mapping[str, Any]) -> list[tuple[str, str]]:
    mark = lane["mark"]
    stands = f"offset {mark['offset']}, after {mark['sequence']} commits" if mark else "-"
    committed = "-" if lane["committed"] is None else str(lane["committed"])
    return [
        ("state stands at", stands),
        ("the group stands at", committed),
        ("the topic ends at", str(lane["end"])),
        ("lag", str(lane["lag"])),
    ]


def _state_rows(state: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Whatever is kept of it: a name that is new to this version is shown as it is."""
    if not state:
        return
    for name in ("positive", "negative", "neutral", "group", "pending"):
        yield name, str(state.get(name, "-" if name == "group" else 0))
    if (since := state.get("pending_since")) is not None:
        yield "pending since", _time(since)
    known = {"positive", "negative", "neutral", "group", "pending"} | _LISTED
    for name, value in state.items():
        if name not in known:
            yield name.replace("_", " "), str(value)
    if summary := state.get("summary"):
        yield "last summary", f"version {summary.get('version')}, {summary.get('language')}: {summary.get('overall')}"


def _aspects(summary: Mapping[str, Any]) -> Table:
    table = Table("", "aspect", "reviews", "claim", title="its aspects", title_justify="left")
    for polarity in ("positive", "negative"):
        for aspect in summary.get(polarity, ()):
            count, claim = str(aspect.get("support_count", "")), Text(str(aspect.get("claim", "")))
            table.add_row(polarity, Text(str(aspect.get("aspect", ""))), count, claim)
    return table


def _records(title: str, records: Sequence[Mapping[str, Any]]) -> Table:
    names = list(dict.fromkeys(name for record in records for name in record))
    table = Table(*(name.replace("_", " ") for name in names), title=title, title_justify="left")
    for record in records:
        table.add_row(*(Text(_cell(name, record.get(name))) for name in names))
    return table


def _cell(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return _time(value) if name.endswith(("_at", "_since")) else f"{value:.3f}"
    if name == "timestamp" and isinstance(value, int):
        return _time(value / 1000)
    if isinstance(value, list):
        return ", ".join("/".join(map(str, item)) if isinstance(item, list) else str(item) for item in value)
    return str(value)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
