"""The app: its routes, and its OpenAPI document."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import FastAPI, Path, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from producer.asking import Ask
from producer.gateway import bodies, examples
from producer.gateway.documenting import add_request_bodies, batch_documentation, error_responses
from producer.gateway.events import MEDIA_TYPE, wants_events
from producer.gateway.gate import KEY, REQUEST_ID, REQUEST_ID_STATE, Gate
from producer.gateway.metrics import CallMetrics
from producer.gateway.parts import Parts
from producer.gateway.problems import Problem, add_handlers, later
from producer.gateway.replying import events, while_connected
from producer.kinds import SENTIMENT, STRENGTH, SUMMARY, Kind
from schemas.base import WireModel
from schemas.batch import (
    SentimentAnalysisBatchRequest,
    SentimentAnalysisBatchResponse,
    StrengthBatchRequest,
    StrengthBatchResponse,
    SummaryBatchRequest,
    SummaryBatchResponse,
)
from schemas.codec import encode
from schemas.headers import CONTENT_TYPE, TRACEPARENT
from schemas.http import RestaurantLatest

TITLE = "Restaurant review analysis"
VERSION = "1"
ABOUT = "Sentiment, summaries and strengths of many restaurants in one call, and the latest results of each."
VIEW_RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One of the three batch endpoints."""

    path: str
    kind: Kind[Any, Any, Any]
    request: type[WireModel]
    response: type[WireModel]
    example: dict[str, Any]
    about: str


ENDPOINTS = (
    Endpoint(
        "/api/v1/sentiment/analyze/batch",
        SENTIMENT,
        SentimentAnalysisBatchRequest,
        SentimentAnalysisBatchResponse,
        examples.SENTIMENT,
        "Sentiment of every review, counted by restaurant.",
    ),
    Endpoint(
        "/api/v1/llm/summarize/batch",
        SUMMARY,
        SummaryBatchRequest,
        SummaryBatchResponse,
        examples.SUMMARY,
        "A summary of each restaurant's positive and negative reviews.",
    ),
    Endpoint(
        "/api/v1/llm/extract/strengths/batch",
        STRENGTH,
        StrengthBatchRequest,
        StrengthBatchResponse,
        examples.STRENGTH,
        "What each restaurant is praised for more than those it is compared with.",
    ),
)


def create_app(parts: Parts) -> FastAPI:
    """The whole app, around parts that somebody else holds."""
    app = FastAPI(title=TITLE, version=VERSION, description=ABOUT, redoc_url=None)
    add_handlers(app)
    for endpoint in ENDPOINTS:
        _add_batch(app, parts, endpoint)
    _add_latest(app, parts)
    _add_probes(app, parts)
    add_request_bodies(app, [endpoint.request for endpoint in ENDPOINTS], with_key=bool(parts.settings.keys))
    app.add_middleware(Gate, settings=parts.settings, room=parts.room, observe=CallMetrics(parts).observe)
    if parts.settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=parts.settings.origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Content-Type", KEY, REQUEST_ID, TRACEPARENT],
            expose_headers=[REQUEST_ID, "Retry-After"],
        )
    return app


def _add_batch(app: FastAPI, parts: Parts, endpoint: Endpoint) -> None:
    async def ask(request: Request) -> Response:
        return await _answer(request, parts, endpoint)

    documentation = batch_documentation(endpoint.request, endpoint.response, endpoint.example)
    app.add_api_route(
        endpoint.path,
        ask,
        methods=["POST"],
        name=endpoint.kind.name,
        summary=endpoint.about,
        response_model=None,
        **documentation,
    )


async def _answer(request: Request, parts: Parts, endpoint: Endpoint) -> Response:
    body: Any = await bodies.read(request, endpoint.request)
    bodies.within_limits(endpoint.kind, body.restaurants, parts.settings)
    ask = Ask(
        max_tokens_per_batch=body.max_tokens_per_batch,
        request_id=getattr(request.state, REQUEST_ID_STATE),
        traceparent=request.headers.get(TRACEPARENT),
    )
    stream = parts.client.stream(endpoint.kind, body.restaurants, ask)
    if wants_events(request.headers.get("accept", "")):
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the latter: nginx, hold nothing back
        return StreamingResponse(events(stream, len(body.restaurants)), media_type=MEDIA_TYPE, headers=headers)
    return _json(await while_connected(request, stream.gathered(endpoint.kind.response)))


def _add_latest(app: FastAPI, parts: Parts) -> None:
    @app.get(
        "/api/v1/restaurants/{restaurant_id:path}",
        name="latest",
        summary="The latest totals, summary and strengths of a restaurant.",
        response_model=None,
        responses={200: {"model": RestaurantLatest}, **error_responses(401, 404, 503)},
    )
    async def latest(restaurant_id: Annotated[str, Path(min_length=1, max_length=256)]) -> Response:
        if not parts.latest.ready:
            raise later("not_ready", "the latest results are still being read", VIEW_RETRY_SECONDS)
        found = await parts.latest.of(restaurant_id)
        if found is not None:
            return _json(found)
        if not parts.latest.complete:
            raise later("not_kept", "unknown, or forgotten for want of room (GATEWAY_VIEW_MAX_BYTES)", 60)
        raise Problem(404, "unknown_restaurant", "there are no results of this restaurant")


def _add_probes(app: FastAPI, parts: Parts) -> None:
    async def livez() -> Response:
        return PlainTextResponse("ok\n")

    async def readyz() -> Response:
        missing = parts.missing()
        return JSONResponse({"ready": not missing, "missing": missing}, 503 if missing else 200)

    async def metrics() -> Response:
        return Response(generate_latest(parts.registry), media_type=CONTENT_TYPE_LATEST)

    routes: dict[str, Callable[[], Any]] = {"/livez": livez, "/readyz": readyz, "/metrics": metrics}
    for path, probe in routes.items():
        app.add_api_route(path, probe, include_in_schema=False)


def _json(model: WireModel) -> Response:
    return Response(encode(model), media_type=CONTENT_TYPE)
