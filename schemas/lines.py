"""Files of reviews, JSON lines or CSV, as JSON objects: pure, no I/O. A bad line is a value of its own.

What an object must hold is its reader's matter. Its value is the line's own bytes; of CSV, one object a row.
"""

import codecs
import csv
import json
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath

from schemas.codec import encode_document

TYPED = frozenset({"version", "rating", "is_recommended"})
"""Columns whose cells are JSON numbers and booleans; all other cells are text."""


class Format(StrEnum):
    """How the reviews are written."""

    JSONL = "jsonl"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class JsonLine:
    """One review in JSON, unchecked. `number` counts lines from 1; of a row over several lines, the first."""

    number: int
    value: bytes
    """UTF-8."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """One line that is not used, and why: what is wrong and what is allowed, never the review's text."""

    number: int
    reason: str


def format_of(name: str) -> Format:
    """By the file's suffix: `.csv` is CSV; all else, standard input too, is JSON lines."""
    return Format.CSV if PurePath(name).suffix.lower() == ".csv" else Format.JSONL


def json_lines(lines: Iterable[bytes], form: Format, required: Collection[str]) -> Iterator[JsonLine | BadLine]:
    """Read reviews, in order, as they come: lines end with a line feed, a byte order mark is skipped.

    `required` are the columns without which a CSV file is not read at all.
    """
    without_mark = _without_mark(lines)
    return _read_csv(without_mark, required) if form is Format.CSV else _read_jsonl(without_mark)


def _without_mark(lines: Iterable[bytes]) -> Iterator[bytes]:
    for number, line in enumerate(lines):
        yield line.removeprefix(codecs.BOM_UTF8) if number == 0 else line


def _read_jsonl(lines: Iterable[bytes]) -> Iterator[JsonLine | BadLine]:
    for number, line in enumerate(lines, start=1):
        if value := line.strip():
            yield _decodable(number, value)


def _decodable(number: int, value: bytes) -> JsonLine | BadLine:
    try:
        value.decode()
    except UnicodeDecodeError as error:
        return BadLine(number, f"byte {error.start + 1} is not UTF-8; save the file as UTF-8")
    return JsonLine(number, value)


def _read_csv(lines: Iterable[bytes], required: Collection[str]) -> Iterator[JsonLine | BadLine]:
    # Bytes that are no UTF-8 become lone surrogates here, so that they spoil their own row only.
    rows = _numbered(csv.reader((line.decode("utf-8", "surrogateescape") for line in lines), strict=True))
    header: Sequence[str] | None = None
    for number, row in rows:
        if isinstance(row, csv.Error):
            yield BadLine(number, f"not CSV: {row}; quotes in a quoted cell are doubled")
        elif header is None:
            header = [name.strip() for name in row]
            if missing := [name for name in required if name not in header]:
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


def _row(number: int, header: Sequence[str], row: Sequence[str]) -> JsonLine | BadLine:
    if len(row) != len(header):
        return BadLine(number, f"has {len(row)} cells, the header has {len(header)}; a comma in a cell needs quotes")
    cells = dict(zip(header, row, strict=True))
    try:
        document = {name: _typed(name, cell) for name, cell in cells.items() if cell or name == "content"}
        return JsonLine(number, encode_document(document))
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
