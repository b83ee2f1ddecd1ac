"""What is sent: reviews, edits, deletions and poison, each decided by the seed and its number. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

from schemas.base import Sentiment
from schemas.codec import encode_document, restaurant_key

RESTAURANTS: Final = 200
NUMBER: Final = "chaos.number"
"""Header: which record this is, counted from 0."""
FATE: Final = "chaos.fate"
"""Header: what must become of it."""
_EDITS, _DELETIONS, _POISON = 0.06, 0.01, 0.02
_EDITABLE: Final = 1000
"""An edit is of one of so many records before it."""

Headers = Sequence[tuple[str, bytes]]


class Fate(StrEnum):
    """What must become of a record."""

    RESULT = "result"
    LETTER = "letter"


@dataclass(frozen=True, slots=True)
class Message:
    """One record to send; murmur2 of the key decides its partition."""

    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Traffic:
    """The messages, one after the other. Versions are the numbers themselves, so the last event of a review stands."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self.made = 0

    def next(self) -> Message:
        """The next message."""
        number, self.made = self.made, self.made + 1
        chance = self._random.random()
        label = self._random.choice(list(Sentiment))
        if chance < _POISON:
            key, value = self._poison(number)
            return Message(key, value, _headers(number, Fate.LETTER))
        review = number
        if chance < _POISON + _EDITS + _DELETIONS:
            review = self._random.randint(max(0, number - _EDITABLE), number)
        content = None if chance < _POISON + _DELETIONS else f"리뷰 {number} {label}"
        return Message(*_event(review, number, content), _headers(number, Fate.RESULT))

    def _poison(self, number: int) -> tuple[bytes, bytes | None]:
        key, value = _event(number, number, "맛있어요")
        kinds: list[tuple[bytes, bytes | None]] = [
            (key, None),
            (key, b"\xff not JSON " + str(number).encode()),
            (key, encode_document({"review_id": number})),
            (b"elsewhere-" + key, value),
        ]
        return self._random.choice(kinds)


def label_of(content: str) -> Sentiment:
    """The label that a review asks for by its last word."""
    return Sentiment(content.rsplit(" ", 1)[-1])


def _event(review: int, version: int, content: str | None) -> tuple[bytes, bytes]:
    """A review belongs to one restaurant, of the first half in groups of ten; every other id is text."""
    number = review * 7919 % RESTAURANTS
    restaurant: int | str = number if number % 2 else f"r{number}"
    event: dict[str, object] = {"review_id": review, "restaurant_id": restaurant, "content": content}
    if number < RESTAURANTS // 2:
        event["comparison_group"] = f"group-{number // 10}"
    return restaurant_key(restaurant), encode_document(event | {"version": version})


def _headers(number: int, fate: Fate) -> tuple[tuple[str, bytes], ...]:
    return ((NUMBER, str(number).encode()), (FATE, fate.encode()))
