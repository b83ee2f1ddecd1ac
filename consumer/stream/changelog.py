r"""A lane's state as records of its changelog, and what its mark says of where the lane stands. Pure.

Keys: `R|restaurant`, `V|restaurant|review`, `G|group|restaurant` (a `|` or `\` inside an id is escaped by `\`; no group
is an empty field), and `~lane`. Values: JSON.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from consumer.errors import LaneRefused
from consumer.stream.place import LaneMark, encode_mark, read_mark
from consumer.stream.state import Changes, RestaurantState, ReviewState, StrengthState

LANE_KEY = b"~lane"
RESTAURANT, REVIEW, STRENGTH = "R", "V", "G"
"""First fields of the keys."""
Entry = tuple[bytes, bytes | None]
"""Key and value of a changelog record; null where the key is gone."""

_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_FIELDS = re.compile(r"(?:^|\|)((?:[^|\\]|\\.)*)", re.DOTALL)
_RESTAURANT_FIELD = {"R": 1, "V": 1, "G": 2}
_KINDS = {"R": "restaurant", "V": "review", "G": "group", "~lane": "lane"}
_RESTAURANT = TypeAdapter(RestaurantState)
_REVIEW = TypeAdapter(ReviewState)
_STRENGTH = TypeAdapter(StrengthState)
_FORMS: dict[str, TypeAdapter[Any]] = {RESTAURANT: _RESTAURANT, REVIEW: _REVIEW, STRENGTH: _STRENGTH}


def entries(changes: Changes) -> list[Entry]:
    """A commit's state changes as changelog records, one a key."""
    found = [(_key(RESTAURANT, key), encoded(changes, RESTAURANT, key, s)) for key, s in changes.restaurants.items()]
    found.extend((_key(REVIEW, *key), encoded(changes, REVIEW, key, s)) for key, s in changes.reviews.items())
    found.extend((_key(STRENGTH, *key), encoded(changes, STRENGTH, key, s)) for key, s in changes.strengths.items())
    return found


def mark_entry(mark: LaneMark) -> Entry:
    """The mark as the last record of a commit."""
    return LANE_KEY, encode_mark(mark)


def encoded(changes: Changes, kind: str, key: str | tuple[str, str], state: object) -> bytes | None:
    """A changed state as JSON, what has its default left out; None for one that is gone.

    Encoded once, for the changelog and for the local store: the changes must be complete by then.
    """
    if state is None:
        return None
    known = changes.json.get((kind, key))
    if known is None:
        known = changes.json[kind, key] = _FORMS[kind].serializer.to_json(state, exclude_defaults=True)
    return known


def decode_restaurant(value: bytes) -> RestaurantState:
    """Raises ValidationError."""
    return _RESTAURANT.validate_json(value)


def decode_review(value: bytes) -> ReviewState:
    """Raises ValidationError."""
    return _REVIEW.validate_json(value)


def decode_strength(value: bytes) -> StrengthState:
    """Raises ValidationError."""
    return _STRENGTH.validate_json(value)


def collect(records: Iterable[Entry], mark: LaneMark | None = None) -> tuple[Changes, LaneMark | None]:
    """What records of a changelog change, and the last mark among them (else `mark`).

    Raises LaneRefused for a record that this version cannot read: nothing is guessed about state.
    """
    changes = Changes()
    for key, value in records:
        try:
            mark = _take(changes, key, value) or mark
        except (ValidationError, ValueError) as error:
            raise LaneRefused(f"the changelog's record {key!r} cannot be read: {error}") from None
    return changes, mark


def parse_key(key: bytes) -> tuple[str, ...]:
    """The kind of record and the ids it is about; the mark's is the one text `~lane`. Raises ValueError."""
    text = key.decode("utf-8", "surrogatepass")
    if "\\" not in text:  # a restore parses millions of them, and hardly any is escaped
        return tuple(text.split("|"))
    return tuple(_ESCAPED.sub(r"\1", field) for field in _FIELDS.findall(text))


def restaurant_entry_key(restaurant: str) -> bytes:
    """Key of a restaurant's own state."""
    return _key("R", restaurant)


def restaurant_of(fields: Sequence[str]) -> str | None:
    """Which restaurant a record is about; None for the mark, and for kinds that this version does not know."""
    at = _RESTAURANT_FIELD.get(fields[0])
    return fields[at] if at is not None and at < len(fields) else None


def kind_of(fields: Sequence[str]) -> str:
    """What a record is about, in a word; the key's first field where this version does not know it."""
    return _KINDS.get(fields[0], fields[0])


def _take(changes: Changes, key: bytes, value: bytes | None) -> LaneMark | None:
    if key == LANE_KEY:
        return read_mark(value)
    match parse_key(key):
        case ("R", restaurant):
            changes.restaurants[restaurant] = decode_restaurant(value) if value is not None else None
            _keep(changes, (RESTAURANT, restaurant), value)
        case ("V", restaurant, review):
            changes.reviews[restaurant, review] = decode_review(value) if value is not None else None
            _keep(changes, (REVIEW, (restaurant, review)), value)
        case ("G", group, restaurant):
            changes.strengths[group, restaurant] = decode_strength(value) if value is not None else None
            _keep(changes, (STRENGTH, (group, restaurant)), value)
        case _:
            raise ValueError("no such key is known")
    return None


def _keep(changes: Changes, name: tuple[str, object], value: bytes | None) -> None:
    """The last value of a key, as it was written."""
    if value is None:
        changes.json.pop(name, None)
    else:
        changes.json[name] = value


def _key(kind: str, *ids: str) -> bytes:
    escaped = (field.replace("\\", "\\\\").replace("|", "\\|") for field in ids)
    return "|".join([kind, *escaped]).encode("utf-8", "surrogatepass")
