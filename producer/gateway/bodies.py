"""Bodies of batch requests: read, validated, and held against the limits."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from producer.gateway.problems import MAX_TOLD, Problem, wrong_field, wrong_fields
from producer.kinds import I, Kind
from producer.settings import GatewaySettings
from producer.turns import Turns
from schemas.base import WireModel
from schemas.codec import Undecodable, decode_object

M = TypeVar("M", bound=WireModel)

RESTAURANTS = "restaurants"


async def read(request: Request, model: type[M]) -> M:
    """Read and validate a body. Raises RequestValidationError (422) with the field's place, Problem.

    Restaurant by restaurant: validation holds the interpreter's lock, in whatever thread, and others wait for a turn.
    """
    body = await request.body()
    try:
        document = decode_object(body)
    except Undecodable as error:
        raise wrong_field(("body",), "json_invalid", str(error)) from None
    items = document.get(RESTAURANTS)
    return await _validated(model, document, items if isinstance(items, list) else None)


def within_limits(kind: Kind[I, Any, Any], restaurants: Sequence[I], settings: GatewaySettings) -> None:
    """Raise Problem (413) where a request holds too many restaurants, or reviews."""
    if (count := len(restaurants)) > settings.max_restaurants:
        raise _too_many("restaurants", count, settings.max_restaurants)
    if (count := sum(map(kind.reviews_of, restaurants))) > settings.max_reviews:
        raise _too_many("reviews", count, settings.max_reviews)


async def _validated(model: type[M], document: Mapping[str, Any], items: list[Any] | None) -> M:
    wrong: list[Any] = []
    try:
        rest = model.model_validate({**document, RESTAURANTS: []} if items is not None else document)
    except ValidationError as error:
        wrong.extend(wrong_fields(error, ("body",)))
    item_model, turns, found = _item_of(model), Turns(), []
    for index, item in enumerate(items or ()):
        await turns.next()
        try:
            found.append(item_model.model_validate(item))
        except ValidationError as error:
            wrong.extend(wrong_fields(error, ("body", RESTAURANTS, index)))
        if len(wrong) > MAX_TOLD:
            break
    if wrong:
        raise RequestValidationError(wrong[:MAX_TOLD])
    return rest.model_copy(update={RESTAURANTS: tuple(found)})


def _item_of(model: type[WireModel]) -> type[BaseModel]:
    """The model of one restaurant: the field is a tuple of it."""
    item: type[BaseModel] = get_args(model.model_fields[RESTAURANTS].annotation)[0]
    return item


def _too_many(what: str, count: int, most: int) -> Problem:
    limit = f"at most {most} (GATEWAY_MAX_{what.upper()})"
    return Problem(413, f"too_many_{what}", f"{count} {what} in one request; {limit}")
