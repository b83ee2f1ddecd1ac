"""Events that are broken in twenty ways: a pure function of a number, so that any count of them can be made.

Two kinds are good once they are replayed: a replay leaves bad header names out, and puts each key where it belongs.
"""

from collections.abc import Callable
from typing import NamedTuple

from schemas.codec import encode_document
from tests.integration.raw_headers import RawHeaders


class Malformed(NamedTuple):
    """A record that becomes a dead letter."""

    key: bytes | None
    value: bytes | None
    headers: RawHeaders
    reason: str
    astray: bool = False
    """It lies in another partition than its key's."""
    mended: bool = False
    """A replay makes it a good one."""


def _event(number: int, **fields: object) -> bytes:
    return encode_document({"review_id": f"bad-{number}", "restaurant_id": number % 97, "content": "좋아요"} | fields)


def _without(number: int, name: str) -> bytes:
    event = {"review_id": f"bad-{number}", "restaurant_id": number % 97, "content": "좋아요"}
    del event[name]
    return encode_document(event)


_Value = Callable[[int], bytes | None]
KINDS: tuple[tuple[str, str, _Value], ...] = (
    ("no JSON", "not_json", lambda n: b"not json {%d" % n),
    ("cut off", "not_json", lambda n: _event(n)[:-5]),
    ("no UTF-8", "not_json", lambda n: b'{"review_id": "\xff\xfe%d"}' % n),
    ("a lone surrogate", "not_json", lambda n: rb'{"review_id":%d,"restaurant_id":1,"content":"\ud800"}' % n),
    ("deep", "not_json", lambda n: b'{"a":' * 3000 + b"%d" % n),
    ("infinite", "not_json", lambda n: b'{"review_id": %d, "version": 1e999}' % n),
    ("nothing", "null_value", lambda _: None),
    ("empty", "not_json", lambda _: b""),
    ("an array", "invalid_event", lambda n: b"[%d]" % n),
    ("a text", "invalid_event", lambda n: b'"%d"' % n),
    ("no review_id", "invalid_event", lambda n: _without(n, "review_id")),
    ("no restaurant_id", "invalid_event", lambda n: _without(n, "restaurant_id")),
    ("no content", "invalid_event", lambda n: _without(n, "content")),
    ("a wrong content", "invalid_event", lambda n: _event(n, content=["a", n])),
    ("an id that is true", "invalid_event", lambda n: _event(n, review_id=True)),
    ("an id without end", "invalid_event", lambda n: _event(n, review_id="x" * 257 + str(n))),
    ("two objects", "not_json", lambda n: _event(n) + _event(n)),
    ("another partition", "wrong_key", _event),
    ("no key", "wrong_key", _event),
    ("a header's name", "invalid_header", _event),
)


def malformed(number: int) -> Malformed:
    """The record of a number: its kind is the remainder by twenty."""
    name, reason, value = KINDS[number % len(KINDS)]
    key: bytes | None = b"%d" % (number % 97)
    headers: RawHeaders = [(b"n", b"%d" % number), (b"n", b"\xff\x00"), (b"empty", b"")]
    if name == "no key":
        key = None
    if name == "a header's name":
        headers = [*headers, (b"\xc3(", b"%d" % number)]
    astray = name == "another partition"
    return Malformed(key, value(number), headers, reason, astray, mended=astray or name == "a header's name")
