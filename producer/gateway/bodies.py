"""Bodies of batch requests: read, validated, and held against the limits."""

from collections.abc import Sequence
from typing import Any, TypeVar

from fastapi import Request
from pydantic import ValidationError

from producer.gateway.problems import Problem, wrong_field, wrong_fields
from producer.kinds import I, Kind
from producer.settings import GatewaySettings
from schemas.base import WireModel
from schemas.codec import Undecodable, decode_body

M = TypeVar("M", bound=WireModel)


async def read(request: Request, model: type[M]) -> M:
    """Read and validate a body. Raises RequestValidationError (422) with the field's place, Problem.

    Validation holds the interpreter's lock, in whatever thread: its time is bounded by the bytes of a body.
    """
    body = await request.body()
    try:
        return decode_body(model, body)
    except Undecodable as error:
        raise wrong_field(("body",), "json_invalid", str(error)) from None
    except ValidationError as error:
        raise wrong_fields(error) from None


def within_limits(kind: Kind[I, Any, Any], restaurants: Sequence[I], settings: GatewaySettings) -> None:
    """Raise Problem (413) where a request holds too many restaurants, or reviews."""
    if (count := len(restaurants)) > settings.max_restaurants:
        raise _too_many("restaurants", count, settings.max_restaurants)
    if (count := sum(map(kind.reviews_of, restaurants))) > settings.max_reviews:
        raise _too_many("reviews", count, settings.max_reviews)


def _too_many(what: str, count: int, most: int) -> Problem:
    return Problem(
        413, f"too_many_{what}", f"{count} {what} in one request; at most {most} (GATEWAY_MAX_{what.upper()})"
    )
