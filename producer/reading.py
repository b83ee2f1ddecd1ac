"""Lines of a file as events to send: pure, no I/O. A bad line is a value of its own, and the rest is read.

A line is bad when the consumer would not take it whole: a review event with every field as the schema has it.
What is sent is the line's own JSON, byte for byte; of CSV, one JSON object a row.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from schemas.codec import Undecodable, decode, restaurant_key
from schemas.events import ReviewEvent
from schemas.lines import BadLine as BadLine
from schemas.lines import Format as Format
from schemas.lines import JsonLine, json_lines
from schemas.lines import format_of as format_of

REQUIRED = ("review_id", "restaurant_id", "content")


@dataclass(frozen=True, slots=True)
class ReviewLine:
    """One event to send. `number` counts lines from 1; of a row over several lines, the first."""

    number: int
    key: bytes
    value: bytes


Line = ReviewLine | BadLine


def read(lines: Iterable[bytes], form: Format) -> Iterator[Line]:
    """Read events, in order, as they come: lines end with a line feed, a byte order mark is skipped."""
    return map(_event, json_lines(lines, form, REQUIRED))


def _event(line: JsonLine | BadLine) -> Line:
    if isinstance(line, BadLine):
        return line
    try:
        event = decode(ReviewEvent, line.value)
    except Undecodable as error:
        return BadLine(line.number, str(error))
    return ReviewLine(line.number, restaurant_key(event.restaurant_id), line.value)
