"""The one place where bytes become models and models become bytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from schemas.base import WireModel
from schemas.events import ReviewEvent

M = TypeVar("M", bound=BaseModel)

_ID_BRANCHES = frozenset({"constrained-str", "int"})
"""How pydantic calls the two forms of an id; to a reader they are one field."""


class Undecodable(Exception):  # noqa: N818 - named after what the record is, as the dead letter's reason is
    """A value that is no such model. `reason` is a code; the message says what, where, and what is allowed."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep both: the code becomes `dlq.reason`, the message `dlq.error`."""
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class DecodedReview:
    """A review event and the names of its optional fields that were bad, and so dropped."""

    event: ReviewEvent
    dropped: tuple[str, ...] = ()


def decode_review(value: bytes | None) -> DecodedReview:
    """Read a review event; a bad optional field is dropped and named, a bad required one raises Undecodable."""
    document = _document(value)
    try:
        return DecodedReview(ReviewEvent.model_validate(document))
    except ValidationError as error:
        bad = {str(e["loc"][0]) for e in error.errors(include_url=False, include_context=False) if e["loc"]}
        if bad & _required(ReviewEvent):
            raise Undecodable("invalid_event", _explain(error)) from None
    kept = {name: v for name, v in document.items() if name not in bad}
    return DecodedReview(ReviewEvent.model_validate(kept), tuple(sorted(bad)))


def decode(model: type[M], value: bytes | None) -> M:
    """Read any other model of the wire; raises Undecodable."""
    document = _document(value)
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise Undecodable("invalid_event", _explain(error)) from None


def decode_object(body: bytes) -> Mapping[str, Any]:
    """Read a body of HTTP that is to be validated piece by piece; raises Undecodable where it is no JSON object."""
    return _document(body)


def encode(model: WireModel) -> bytes:
    """Write a model as JSON, fields in their declared order, null where there is no value."""
    return model.__pydantic_serializer__.to_json(model)


def decode_answer(text: str) -> Any:
    """Read a model's JSON answer, strictly: what is not JSON raises Undecodable, nothing is repaired by guess."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Undecodable("not_json", f"the answer is not JSON: {error}") from None


def encode_document(document: object) -> bytes:
    """Write plain JSON (no model), such as an example, a log line or a schema."""
    return orjson.dumps(document)


def encode_pretty(document: object) -> bytes:
    """Write JSON for people: indented, keys in the given order, a line end at the end."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def restaurant_key(restaurant_id: str | int) -> bytes:
    """Key of a record about one restaurant: the id as text, without JSON quotes."""
    return str(restaurant_id).encode("utf-8", "surrogatepass")


def group_key(comparison_group: str | None, restaurant_id: str | int) -> bytes:
    """Key `["{comparison_group}","{restaurant_id}"]`; no group is the empty text."""
    return orjson.dumps([comparison_group or "", str(restaurant_id)])


def decode_group_key(key: bytes | None) -> tuple[str, str]:
    """(comparison group, restaurant id as text) of such a key; raises Undecodable."""
    try:
        document = orjson.loads(key or b"")
    except orjson.JSONDecodeError:
        document = None
    match document:
        case [str(group), str(restaurant)]:
            return group, restaurant
    raise Undecodable("invalid_key", 'the key is not ["group","restaurant"], two texts in JSON')


def _document(value: bytes | None) -> Mapping[str, Any]:
    if value is None:
        raise Undecodable("null_value", "the record has no value; a deleted review is an event with null content")
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise Undecodable("not_json", f"the value is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise Undecodable("invalid_event", f"the value is a JSON {_json_type(document)}, an object is expected")
    return document


def _json_type(document: object) -> str:
    names = {list: "array", str: "string", bool: "boolean", type(None): "null", int: "number", float: "number"}
    return names[type(document)]


@lru_cache(maxsize=64)
def _required(model: type[BaseModel]) -> frozenset[str]:
    return frozenset(name for name, field in model.model_fields.items() if field.is_required())


def _explain(error: ValidationError) -> str:
    """Say where and what, never the value itself: a review's text has no place in a header or a log."""
    messages: dict[str, list[str]] = {}
    for found in error.errors(include_url=False, include_context=False, include_input=False):
        place = ".".join(str(step) for step in found["loc"] if step not in _ID_BRANCHES) or "value"
        messages.setdefault(place, []).append(found["msg"].removeprefix("Value error, "))
    return "; ".join(f"{place}: {', or: '.join(said)}" for place, said in list(messages.items())[:5])
