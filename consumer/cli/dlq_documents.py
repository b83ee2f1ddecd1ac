"""Dead letters for people and for programs: tables, documents, and the times that select them."""

import base64
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from rich.table import Table
from rich.text import Text

from consumer.errors import ConfigError
from consumer.stream.letters import Letter, ReasonCount, Tally
from schemas.codec import encode_pretty

SHOWN = 20_000
"""Characters of a value in the table; an export has all of it."""
_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(option: str, text: str | None, now: datetime) -> datetime | None:
    """A time as an option gives it. Raises ConfigError."""
    if text is None:
        return None
    if ago := _AGO.fullmatch(text):
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{option} {text}: give RFC 3339, such as 2026-11-23T19:30:00+09:00, or 90m, 12h, 2d"
        ) from None
    if found.tzinfo is None:
        raise ConfigError(f"{option} {text}: say the offset from UTC too, such as {text}Z")
    return found


def tally_table(tally: Tally, *, status: bool = True) -> Table:
    """Most letters first."""
    table = Table("reason", "letters", *(["replayed"] if status else []), "oldest", "newest", "newest at", "from")
    for (reason, topic), found in _sorted(tally):
        replayed = [str(found.replayed)] if status else []
        last = "-" if found.last is None else f"{found.last[0]}/{found.last[1]}"
        times = _shown(found.oldest), _shown(found.newest)
        table.add_row(_safe(reason), str(found.count), *replayed, *times, last, _safe(topic))
    return table


def tally_document(tally: Tally) -> list[dict[str, Any]]:
    """The same as JSON."""
    return [
        {
            "reason": reason,
            "topic": topic,
            "letters": found.count,
            "replayed": found.replayed,
            "oldest": found.oldest,
            "newest": found.newest,
            "newest_at": None if found.last is None else f"{found.last[0]}/{found.last[1]}",
        }
        for (reason, topic), found in _sorted(tally)
    ]


def letter_document(letter: Letter, replayed: bool) -> dict[str, Any]:  # noqa: FBT001 - a pair, as it is found
    """All of a letter as JSON: each of its bytes as text where they are UTF-8, else in base64 under another name."""
    source = letter.source
    return {
        "at": f"{letter.place[0]}/{letter.place[1]}",
        "reason": letter.reason,
        "error": letter.error,
        "attempts": letter.attempts,
        "source": None if source is None else f"{source.topic}/{source.partition}/{letter.source_offset}",
        "failed_at": letter.failed_at,
        "service": letter.service,
        "replayed": replayed,
        "timestamp": letter.timestamp,
        **_bytes("key", letter.key),
        **_bytes("value", letter.value),
        "headers": [
            _bytes("name", name.encode("utf-8", "surrogateescape")) | _bytes("value", value)
            for name, value in letter.headers
        ],
    }


def letter_table(letter: Letter, replayed: bool) -> Table:  # noqa: FBT001 - as above
    """For people: the value as indented JSON, or as text, or in hexadecimal digits."""
    document = letter_document(letter, replayed)
    table = Table(show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name in ("at", "reason", "error", "attempts", "source", "failed_at", "service", "replayed", "timestamp"):
        table.add_row(name, _safe(str(document[name])))
    table.add_row("key", _safe(_text(letter.key)))
    for name, value in letter.headers:
        shown_name = _text(name.encode("utf-8", "surrogateescape"))
        table.add_row("header", _safe(f"{shown_name}: {_text(value)}"))
    table.add_row("value", _safe(_value(letter.value)))
    return table


def _value(value: bytes | None) -> str:
    try:
        decoded = encode_pretty(orjson.loads(value or b"")).decode().rstrip()
    except orjson.JSONDecodeError:
        decoded = _text(value)
    return (
        decoded if len(decoded) <= SHOWN else f"{decoded[:SHOWN]} … {len(decoded) - SHOWN} characters more: see export"
    )


def _text(value: bytes | None) -> str:
    if value is None:
        return "(null)"
    try:
        return value.decode()
    except UnicodeDecodeError:
        return f"(no UTF-8) {value[:SHOWN].hex(' ')}"


def _safe(text: str) -> Text:
    """As it is, without markup; control and direction characters shown, not obeyed by the terminal."""
    return Text("".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text))


def _bytes(name: str, value: bytes | None) -> dict[str, str | None]:
    try:
        return {name: None if value is None else value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(value or b"").decode()}


def _shown(found: datetime | None) -> str:
    return "-" if found is None else found.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _sorted(tally: Tally) -> list[tuple[tuple[str, str], ReasonCount]]:
    return sorted(tally.reasons.items(), key=lambda pair: (-pair[1].count, pair[0]))
