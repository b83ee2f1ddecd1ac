"""The sample that ships with the producer: reviews, and broken events to be published as they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from producer.errors import CannotGoOn
from producer.reading import BadLine, Format, Line, ReviewLine, read
from schemas.base import id_text
from schemas.codec import decode, decode_answer
from schemas.events import ReviewEvent

HOME = Path(__file__).parent / "samples"


@dataclass(frozen=True, slots=True)
class Sample:
    """What the demo sends, and the restaurants' names by id, for its table."""

    reviews: tuple[ReviewLine, ...]
    malformed: tuple[ReviewLine, ...]
    names: Mapping[str, str]

    @property
    def lines(self) -> tuple[ReviewLine, ...]:
        """All of it, the broken events in the middle: the stream must go on after them."""
        middle = len(self.reviews) // 2
        return (*self.reviews[:middle], *self.malformed, *self.reviews[middle:])


def load(home: Path = HOME) -> Sample:
    """Read the sample. Raises CannotGoOn where it is missing, or a review in it is bad."""
    try:
        reviews = tuple(map(_good, read((home / "reviews.jsonl").read_bytes().splitlines(), Format.JSONL)))
        malformed = tuple(map(_as_it_is, enumerate((home / "malformed.jsonl").read_text("utf-8").splitlines(), 1)))
    except OSError as error:
        raise CannotGoOn(f"the sample is incomplete: {error}") from None
    events = (decode(ReviewEvent, line.value) for line in reviews)
    return Sample(
        reviews, malformed, {id_text(e.restaurant_id): e.restaurant_name for e in events if e.restaurant_name}
    )


def _good(line: Line) -> ReviewLine:
    if isinstance(line, BadLine):
        raise CannotGoOn(f"the sample's line {line.number} is bad: {line.reason}")
    return line


def _as_it_is(numbered: tuple[int, str]) -> ReviewLine:
    number, line = numbered
    document: dict[str, Any] = decode_answer(line)
    return ReviewLine(number, document["key"].encode(), document["value_text"].encode())
