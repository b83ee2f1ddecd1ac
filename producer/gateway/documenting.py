"""What FastAPI cannot tell by itself: the bodies of requests, events, and errors."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from producer.gateway.events import MEDIA_TYPE
from producer.gateway.gate import KEY
from schemas.base import WireModel
from schemas.headers import CONTENT_TYPE
from schemas.http import ErrorBody

_REFERENCE = "#/components/schemas/{model}"
_EVENTS = (
    "With `Accept: text/event-stream`: an event `result` a restaurant as soon as it is ready, its `id` the place in "
    "the request from 0, its `data` what stands at that place in `results`; then `done` with `count` and "
    "`failed_count`; or `error`, where nothing could be asked. Comments come in between while nothing is ready."
)
_ERRORS = {
    401: "No valid API key.",
    404: "There are no results of this restaurant.",
    408: "The body did not arrive in time.",
    413: "Too many bytes, restaurants or reviews.",
    503: "Saturated, no broker, or nobody answers: ask again after `Retry-After` seconds.",
    504: "Not one restaurant was ready in time.",
}


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Responses with an error's body."""
    return {status: {"model": ErrorBody, "description": _ERRORS[status]} for status in statuses}


def batch_documentation(request: type[WireModel], response: type[WireModel], example: object) -> dict[str, Any]:
    """Keyword arguments of a batch route."""
    reference = {"$ref": _REFERENCE.format(model=request.__name__)}
    body = {"required": True, "content": {CONTENT_TYPE: {"schema": reference, "example": example}}}
    text: dict[str, Any] = {MEDIA_TYPE: {"schema": {"type": "string", "description": _EVENTS}}}
    wrong = {"description": "A field is wrong: `loc` is its place.", "content": {CONTENT_TYPE: {"schema": _WRONG}}}
    return {
        "description": f"Results keep the request's order; one that failed has an `error` in its place. {_EVENTS}",
        "responses": {
            200: {"model": response, "description": "In the request's order.", "content": text},
            422: wrong,
            **error_responses(401, 408, 413, 503, 504),
        },
        "openapi_extra": {"requestBody": body},
    }


def add_request_bodies(app: FastAPI, models: Sequence[type[WireModel]], *, with_key: bool) -> None:
    """Put the models of the requests into the document; FastAPI does not know them, for the bodies are read by us."""
    _, found = models_json_schema([(model, "validation") for model in models], ref_template=_REFERENCE)

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            components = made.setdefault("components", {})
            components.setdefault("schemas", {}).update(found["$defs"])
            if with_key:
                components["securitySchemes"] = {"key": {"type": "apiKey", "in": "header", "name": KEY}}
                made["security"] = [{"key": []}]
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign] # as FastAPI's own documentation extends it


_WRONG: dict[str, Any] = {
    "type": "object",
    "required": ["detail"],
    "properties": {
        "detail": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["loc", "msg", "type"],
                "properties": {
                    "loc": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
                    "msg": {"type": "string"},
                    "type": {"type": "string"},
                },
            },
        }
    },
}
