"""The AsyncAPI 3.0 document: every topic with its key, headers, value and operations, seen from the consumer.

Made from the models and the topics' specifications, never written by hand: `python -m schemas.export`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic.json_schema import models_json_schema

from schemas.base import WireModel
from schemas.events import AnalysisRequest, ReviewEvent
from schemas.headers import (
    CLOUD_EVENT_HEADERS,
    CONTENT_TYPE,
    DEAD_LETTER_HEADERS,
    ESCAPED,
    TRACEPARENT,
    EventType,
)
from schemas.results import AnalysisReply, RestaurantStrengths, RestaurantSummary, SentimentResult, SentimentTotals
from schemas.topics import CLEANUP_POLICY, MAX_MESSAGE_BYTES, TopicNames, TopicSpec, topic_specs

Document = dict[str, Any]

VERSION = "1.0.0"
"""Version of the contracts of `.v1`: the middle number rises with each optional field added."""

_KAFKA_BINDING = "0.5.0"
_BY_RESTAURANT = "restaurant_id as plain text, without JSON quotes."
_BY_REQUEST = "`{request_id}/{index}` as plain text."
_BY_GROUP = '`["{comparison_group}","{restaurant_id}"]`, two texts in JSON; no group is the empty text.'
_AS_ORIGINAL = "The original's key, byte for byte."
_TOMBSTONE = "Compacted; a null value is a tombstone: the restaurant has no reviews left, or left its group."
_DESCRIPTION = (
    "Review events go in; sentiment, totals, summaries and strengths come out. Topic names are settings, these are the "
    "defaults. Readers ignore unknown fields; a breaking change is a new topic ending in `.v2`. The consumer's own "
    "changelogs (`{group id}.{input topic}.state`) concern nobody else and are not described."
)


@dataclass(frozen=True, slots=True)
class Channel:
    """One topic. `value` is None for dead letters: they carry the original's bytes."""

    name: str
    address: str
    message: str
    key: str
    value: type[WireModel] | None
    event: EventType | None
    actions: tuple[str, ...]
    about: str


def document() -> Document:
    """The whole document, with the topics' default names; the same for the same models."""
    names: TopicNames = TopicNames.model_construct()  # the defaults, whatever the environment says
    channels = _channels(names)
    specs = {spec.name: spec for spec in topic_specs(names, "review-consumer")}
    return {
        "asyncapi": "3.0.0",
        "info": _info(),
        "defaultContentType": CONTENT_TYPE,
        "channels": {c.name: _channel(c, specs[c.address]) for c in channels},
        "operations": {name: operation for c in channels for name, operation in _operations(c).items()},
        "components": {
            "messages": {c.message: _message(c) for c in channels},
            "schemas": {**_value_schemas(channels), **_header_schemas()},
        },
    }


def _info() -> Document:
    return {
        "title": "Restaurant review analysis",
        "version": VERSION,
        "description": _DESCRIPTION,
        "license": {"name": "Apache-2.0"},
    }


def _channels(names: TopicNames) -> tuple[Channel, ...]:
    rows: tuple[tuple[Any, ...], ...] = (
        ("reviews", names.reviews, "ReviewEvent", _BY_RESTAURANT, ReviewEvent, EventType.REVIEW,
         ("receive",), "Reviews, their edits and deletions."),
        ("requests", names.requests, "AnalysisRequest", _BY_REQUEST, AnalysisRequest, EventType.REQUEST,
         ("receive",), "Batch requests, one restaurant a record."),
        ("sentiment", names.sentiment, "SentimentResult", _BY_RESTAURANT, SentimentResult, EventType.SENTIMENT,
         ("send",), "One result per review event that is not a dead letter."),
        ("totals", names.totals, "SentimentTotals", _BY_RESTAURANT, SentimentTotals, EventType.TOTALS,
         ("send",), f"Counts per restaurant. {_TOMBSTONE}"),
        ("summary", names.summary, "RestaurantSummary", _BY_RESTAURANT, RestaurantSummary, EventType.SUMMARY,
         ("send",), f"Rolling summaries. {_TOMBSTONE}"),
        ("strength", names.strength, "RestaurantStrengths", _BY_GROUP, RestaurantStrengths, EventType.STRENGTH,
         ("send",), f"What a restaurant is better at than its group. {_TOMBSTONE}"),
        ("replies", names.replies, "AnalysisReply", _BY_REQUEST, AnalysisReply, EventType.REPLY,
         ("send",), "Replies to batch requests; a request is answered when `count` of them are in."),
        ("deadLetters", names.dlq, "DeadLetter", _AS_ORIGINAL, None, None,
         ("send",), "Records that cannot be answered, with their original key, value, timestamp and headers."),
        ("summariesByGroup", names.by_group, "RestaurantSummaryByGroup", _BY_GROUP, RestaurantSummary,
         EventType.SUMMARY, ("send", "receive"), f"Internal: summaries by comparison group. {_TOMBSTONE}"),
    )  # fmt: skip
    return tuple(Channel(*row) for row in rows)


def _channel(channel: Channel, spec: TopicSpec) -> Document:
    return {
        "address": channel.address,
        "description": channel.about,
        "messages": {channel.message: _ref("messages", channel.message)},
        "bindings": {"kafka": {"topicConfiguration": _configuration(spec.config), "bindingVersion": _KAFKA_BINDING}},
    }


def _configuration(config: Mapping[str, str]) -> Document:
    found: Document = {CLEANUP_POLICY: [config[CLEANUP_POLICY]]}
    if MAX_MESSAGE_BYTES in config:
        found[MAX_MESSAGE_BYTES] = int(config[MAX_MESSAGE_BYTES])
    return found


def _operations(channel: Channel) -> Document:
    here = {"$ref": f"#/channels/{channel.name}"}
    found: Document = {}
    for action in channel.actions:
        operation: Document = {
            "action": action,
            "channel": here,
            "messages": [{"$ref": f"{here['$ref']}/messages/{channel.message}"}],
        }
        if channel.name == "requests":
            operation["reply"] = {"channel": {"$ref": "#/channels/replies"}}
        found[f"{action}{channel.name[0].upper()}{channel.name[1:]}"] = operation
    return found


def _message(channel: Channel) -> Document:
    payload = _ref("schemas", channel.value.__name__) if channel.value else {"description": "The original's bytes."}
    headers = _ref("schemas", _headers_of(channel))
    return {
        "name": channel.event.value if channel.event else channel.message,
        "summary": channel.about,
        "contentType": CONTENT_TYPE if channel.value else "application/octet-stream",
        "headers": headers,
        "payload": payload,
        "bindings": {
            "kafka": {"key": {"type": "string", "description": channel.key}, "bindingVersion": _KAFKA_BINDING},
        },
    }


def _headers_of(channel: Channel) -> str:
    if channel.value is None:
        return "DeadLetterHeaders"
    return "CloudEventHeaders" if "send" in channel.actions else "InputHeaders"


def _value_schemas(channels: Iterable[Channel]) -> Document:
    models = dict.fromkeys(c.value for c in channels if c.value)
    _, found = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    schemas: Document = found["$defs"]
    return schemas


def _header_schemas() -> Document:
    trace = {TRACEPARENT: "W3C Trace Context: handed on from the record that came in."}
    return {
        "InputHeaders": _headers({**CLOUD_EVENT_HEADERS, **trace}, required=()),
        "CloudEventHeaders": _headers({**CLOUD_EVENT_HEADERS, **trace}, required=CLOUD_EVENT_HEADERS),
        "DeadLetterHeaders": _headers(DEAD_LETTER_HEADERS, required=(h for h in DEAD_LETTER_HEADERS if h != ESCAPED)),
    }


def _headers(names: Mapping[str, str], required: Iterable[str]) -> Document:
    found: Document = {
        "type": "object",
        "properties": {name: {"type": "string", "description": about} for name, about in names.items()},
    }
    wanted = list(required)
    return {**found, "required": wanted} if wanted else found


def _ref(kind: str, name: str) -> Document:
    return {"$ref": f"#/components/{kind}/{name}"}
