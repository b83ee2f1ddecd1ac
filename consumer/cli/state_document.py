"""What `state show` and `state export` say, as plain documents: records of any kind, as they are in the changelog."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from heapq import nlargest
from typing import Any

import orjson

from consumer.kafka.standing import Offsets
from consumer.store.latest import Latest
from consumer.stream.changelog import LANE_KEY, kind_of, parse_key
from consumer.stream.record import Partition

Document = dict[str, Any]


def export_line(latest: Latest) -> bytes:
    """One record as a line of JSON; its value is the changelog's, byte for byte."""
    document = {
        "topic": latest.lane.topic,
        "partition": latest.lane.partition,
        **_named(latest.key),
        "value": orjson.Fragment(latest.value),
    }
    return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)


def lane_document(lane: Partition, offsets: Offsets, found: Iterable[Latest], *, newest: int, texts: bool) -> Document:
    """One lane and what it holds of a restaurant: `state` is null where it holds nothing."""
    mark, state, reviews, more = None, None, Reviews(newest, texts=texts), []
    for latest in found:
        named = _named(latest.key)
        if latest.key == LANE_KEY:
            mark = orjson.loads(latest.value)
        elif named["kind"] == "restaurant":
            state = orjson.loads(latest.value)
        elif named["kind"] == "review":
            reviews.take(latest)
        else:
            more.append({**named, "value": orjson.loads(latest.value)})
    where = {"topic": lane.topic, "partition": lane.partition, "mark": mark, **asdict(offsets), "lag": offsets.lag}
    return {**where, "state": state, "reviews": reviews.document(), "more": more}


def knows(lane: Mapping[str, Any]) -> bool:
    """Whether a lane holds anything of the restaurant."""
    return bool(lane["state"] or lane["reviews"]["standing"] or lane["reviews"]["deleted"] or lane["more"])


class Reviews:
    """Counts reviews, and keeps the few that were written last."""

    def __init__(self, newest: int, *, texts: bool) -> None:
        self._limit, self._texts = newest, texts
        self._standing = self._deleted = self._pending = 0
        self._newest: list[tuple[int, Document]] = []

    def take(self, latest: Latest) -> None:
        """Count one."""
        value = orjson.loads(latest.value)
        self._pending += value.get("text") is not None
        if value.get("label") is None:
            self._deleted += 1
        else:
            self._standing += 1
        self._newest = nlargest(
            self._limit, [*self._newest, (latest.number, self._shown(value))], key=lambda pair: pair[0]
        )

    def document(self) -> Document:
        """The counts, and the newest first."""
        newest = [value for _, value in self._newest]
        return {
            "standing": self._standing,
            "deleted": self._deleted,
            "not_summarised": self._pending,
            "newest": newest,
        }

    def _shown(self, value: Document) -> Document:
        hidden = {"content_hash"} if self._texts else {"content_hash", "text"}
        return {name: field for name, field in value.items() if name not in hidden}


def _named(key: bytes) -> Document:
    try:
        fields = parse_key(key)
    except ValueError:
        return {"kind": "unreadable", "ids": [key.hex()]}
    return {"kind": kind_of(fields), "ids": list(fields[1:])}
