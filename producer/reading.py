"""Lines of a file as events to send: pure, no I/O. A bad line is a value of its own, and the rest is read.

A line is bad when the consumer would not take it whole: a review event with every field as the schema has it.
What is sent is the line's own JSON, byte for byte; of CSV, one JSON object a row.
"""

import codecs
import csv
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath

from schemas.codec import Undecodable, decode, encode_document, restaurant_key
from schemas.events import ReviewEvent

REQUIRED = ("review_id", "restaurant_id", "content")
TYPED = frozenset({"version", "rating", "is_recommended"})
"""Columns whose cells are JSON numbers and booleans; all other cells are text."""


class Format(StrEnum):
    """How the events are written."""

    JSONL = "jsonl"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class ReviewLine:
    """One event to send. `number` counts lines from 1; of a row over several lines, the first."""

    number: int
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class BadLine:
    """One line that is not sent, and why: what is wrong and what is allowed, never the review's text."""

    number: int
    reason: str


Line = ReviewLine | BadLine


def format_of(name: str) -> Format:
    """By the file's suffix: `.csv` is CSV; all else, standard input too, is JSON lines."""
    return Format.CSV if PurePath(name).suffix.lower() == ".csv" else Format.JSONL


def read(lines: Iterable[bytes], form: Format) -> Iterator[Line]:
    """Read events, in order, as they come: lines end with a line feed, a byte order mark is skipped."""
    without_mark = _without_mark(lines)
    return _read_csv(without_mark) if form is Format.CSV else _read_jsonl(without_mark)


def _without_mark(lines: Iterable[bytes]) -> Iterator[bytes]:
    for number, line in enumerate(lines):
        yield line.removeprefix(codecs.BOM_UTF8) if number == 0 else line


def _read_jsonl(lines: Iterable[bytes]) -> Iterator[Line]:
    for number, line in enumerate(lines, start=1):
        if value := line.strip():
            yield _event(number, value)


def _event(number: int, value: bytes) -> Line:
    try:
        value.decode()
        event = decode(ReviewEvent, value)
    except UnicodeDecodeError as error:
        return BadLine(number, f"byte {error.start + 1} is not UTF-8; save the file as UTF-8")
    except Undecodable as error:
        return BadLine(number, str(error))
    return ReviewLine(number, restaurant_key(event.restaurant_id), value)


def _read_csv(lines: Iterable[bytes]) -> Iterator[Line]:
    # Bytes that are no UTF-8 become lone surrogates here, so that they spoil their own row only.
    rows = _numbered(csv.reader((line.decode("utf-8", "surrogateescape") for line in lines), strict=True))
    header: Sequence[str] | None = None
    for number, row in rows:
        if isinstance(row, csv.Error):
            yield BadLine(number, f"not CSV: {row}; quotes in a quoted cell are doubled")
        elif header is None:
            header = [name.strip() for name in row]
            if missing := [name for name in REQUIRED if name not in header]:
                yield BadLine(number, f"the header lacks {', '.join(missing)}: the first row names the fields")
                return
        elif row:
            yield _row(number, header, row)


def _numbered(rows: Iterator[list[str]]) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Each row, or its error, with the number of its first line."""
    while True:
        first = getattr(rows, "line_num", 0) + 1
        try:
            yield first, next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield first, error


def _row(number: int, header: Sequence[str], row: Sequence[str]) -> Line:
    if len(row) != len(header):
        return BadLine(number, f"has {len(row)} cells, the header has {len(header)}; a comma in a cell needs quotes")
    cells = dict(zip(header, row, strict=True))
    try:
        document = {name: _typed(name, cell) for name, cell in cells.items() if cell or name == "content"}
        return _event(number, encode_document(document))
    except TypeError:  # lone surrogates: see _read_csv
        return BadLine(number, "is not UTF-8; save the file as UTF-8")


def _typed(name: str, cell: str) -> object:
    """Read a cell as its field's type; what is none stays text, and the schema says what is allowed."""
    if name not in TYPED:
        return cell
    try:
        value = json.loads(cell.strip().lower())
    except ValueError:
        return cell
    return cell if isinstance(value, float) and not math.isfinite(value) else value
