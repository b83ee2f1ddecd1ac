"""Records nobody would wish for: each ends as a result or a dead letter with a clear reason; the stream goes on."""

import random
from collections.abc import Sequence

import pytest
from aiokafka import AIOKafkaProducer

from consumer.engines.local.engine import LocalEngine
from deploy.kafka.sources import Kafka
from schemas.codec import encode_document
from schemas.headers import ESCAPED, unescaped_headers
from schemas.results import SentimentResult
from schemas.topics import DEFAULT_MAX_MESSAGE_BYTES
from tests.integration.raw_headers import RawHeaders, raw_batch
from tests.integration.world import Letter, World

KEY = b"1"


def event(**fields: object) -> bytes:
    """A review event of restaurant 1."""
    return encode_document({"restaurant_id": 1, **fields})


ANSWERED = {
    "long": event(review_id="long", content="맛있어요 정말 추천합니다. " * 6700),
    "empty": event(review_id="empty", content=""),
    "blank": event(review_id="blank", content=" \n\t "),
    "emoji": event(review_id="emoji", content="😍😍🔥👍"),
    "nul": event(review_id="nul", content="맛\x00있어요\x00"),
    "bidi": event(review_id="bidi", content="\u202e맛없어요\u202c \u200b"),
    "text id": event(review_id="1", content="좋아요"),
    "unknown field": event(review_id="unknown", content="좋아요", colour="red"),
    "bad optional": event(
        review_id="optional", content="좋아요", rating="five", created_at="yesterday", priority="now"
    ),
    "deleted": event(review_id="deleted", content=None),
    "twice": b'{"review_id": 0, "restaurant_id": 1, "content": "a", "review_id": "twice", "content": "\xec\xa2\x8b"}',
    "huge": event(review_id="huge", content="좋아요").replace(
        b"}", b', "version": %s, "rating": 3.%s}' % (b"9" * 25, b"1" * 5000)
    ),
    "deep inside": event(review_id="deep", content="좋아요").replace(b"}", b', "x": %s}' % (b"[" * 900 + b"]" * 900)),
}
DEAD = {
    "not JSON": (b"not json {", "not_json", "the value is not JSON"),
    "not UTF-8": (b'{"review_id": "\xff\xfe"}', "not_json", "not valid UTF-8"),
    "lone surrogate": (rb'{"review_id":1,"restaurant_id":1,"content":"\ud800"}', "not_json", "surrogate"),
    "null value": (None, "null_value", "no value"),
    "deep": (b"[" * 10_000, "not_json", "depth limit"),
    "deep objects": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "not_json", "depth limit"),
    "infinite": (event(review_id=1, content="a").replace(b"}", b', "version": 1e400}'), "not_json", "infinity"),
    "huge id": (event(content="a").replace(b"}", b', "review_id": %s}' % (b"9" * 5000)), "not_json", "not JSON"),
    "array": (b"[]", "invalid_event", "JSON array"),
    "missing field": (event(content="좋아요"), "invalid_event", "review_id: Field required"),
    "missing content": (event(review_id=1), "invalid_event", "content: Field required"),
    "wrong type": (event(review_id=1, content=["a"]), "invalid_event", "content: Input should be a valid string"),
    "id is a float": (event(review_id=1.5, content="a"), "invalid_event", "review_id"),
    "id is true": (event(review_id=True, content="a"), "invalid_event", "review_id"),
    "id is empty": (event(review_id="", content="a"), "invalid_event", "review_id"),
    "other restaurant": (
        encode_document({"review_id": 1, "restaurant_id": 2, "content": "a"}),
        "wrong_key",
        "key is not its restaurant_id",
    ),
}


@pytest.fixture
async def world(kafka: Kafka, topic_prefix: str) -> World:
    """One partition is enough: they must not hold each other up."""
    made = World(kafka.bootstrap_servers, topic_prefix, partitions=1)
    await made.create()
    return made


async def test_hostile_records_each_end_clearly_and_the_stream_goes_on(world: World) -> None:
    """A review of 100,000 characters and a dozen kinds of rubbish, between good ones."""
    good = [(KEY, event(review_id=f"good {n}", content="음식이 맛있네요!")) for n in range(20)]
    values = [*ANSWERED.values(), *(value for value, _, _ in DEAD.values())]
    sent = await world.send([*good[:10], *((KEY, value) for value in values), *good[10:]])
    async with world.running(LocalEngine()):
        results, letters = await world.until_answered(sent)
    assert len(results) + len(letters) == sent
    answers = {result.review_id: result for result in results}
    _check_answers(answers)
    assert [(letter.value, letter.reason) for letter in letters] == [(v, r) for v, r, _ in DEAD.values()]
    for letter, (_, _, said) in zip(letters, DEAD.values(), strict=True):
        assert said in dict(letter.headers)["dlq.error"].decode()
        assert letter.key == KEY
    assert await world.committed() == sent


def _check_answers(answers: dict[str | int, SentimentResult]) -> None:
    assert {f"good {n}" for n in range(20)} < set(answers)
    assert answers["long"].provenance.truncated
    assert answers["long"].sentiment == "positive"
    assert not answers["empty"].provenance.truncated
    for name in ("empty", "blank", "emoji", "nul", "bidi", "1", "unknown", "optional", "twice", "huge", "deep"):
        assert answers[name].outcome == "analyzed", name
        assert answers[name].sentiment is not None
    assert answers["deleted"].outcome == "deleted"
    assert answers["deleted"].sentiment is None


BAD_NAMES: dict[str, RawHeaders] = {
    "no UTF-8": [(b"\xff\xfe", b"1")],
    "between good ones": [(b"ok", b"1"), (b"\x80", None), (b"ok", b"2"), ("이름".encode(), b"\xff")],
    "a surrogate": [(b"\xed\xa0\x80", b"")],
    "a flood": [(b"h%d\xc3" % n, b"x" * 8) for n in range(20_000)],
}


async def test_records_whose_header_names_are_not_utf_8_are_dead_letters_and_nothing_is_skipped(world: World) -> None:
    """One in the middle of a batch, several in a row, the first and the last: the good ones are answered."""
    value = event(review_id="bad", content="맛있어요")
    bad = [(KEY, value, headers) for headers in BAD_NAMES.values()]
    good: list[tuple[bytes, bytes, RawHeaders]] = [
        (KEY, event(review_id=f"good {n}", content="맛있어요"), []) for n in range(30)
    ]
    await _send_raw(world, [bad[0], *good[:10], bad[1], *good[10:20]])
    await _send_raw(world, [bad[2], bad[3], *good[20:], bad[0]])
    async with world.running(LocalEngine()):
        results, letters = await world.until_answered(35)
    assert [result.review_id for result in results] == [f"good {n}" for n in range(30)]
    assert [(letter.key, letter.value, letter.reason) for letter in letters] == [(KEY, value, "invalid_header")] * 5
    wanted = [*BAD_NAMES.values(), BAD_NAMES["no UTF-8"]]
    assert [_original(letter) for letter in letters] == [list(headers) for headers in wanted]
    assert await world.committed() == 35


async def test_keys_that_are_not_utf_8_and_records_with_nothing_are_dead_letters(world: World) -> None:
    """Byte for byte; a record without key and value too."""
    value = event(review_id=1, content="맛있어요")
    sent: list[tuple[bytes | None, bytes | None, RawHeaders]] = [
        (b"\xff\xfe\x00", value, [(b"a", b"\xff"), (b"a", None), (b"", b"")]),
        (None, value, []),
        (b"", value, []),
        (None, None, [(b"only", b"a header")]),
        (b"\xff" * 100_000, b"", []),
    ]
    await _send_raw(world, sent)
    async with world.running(LocalEngine()):
        _, letters = await world.until_answered(len(sent))
    assert sorted(map(_bare, letters), key=repr) == sorted(((k, v, list(h)) for k, v, h in sent), key=repr)
    reasons = sorted(letter.reason for letter in letters)
    assert reasons == ["not_json", "null_value", "wrong_key", "wrong_key", "wrong_key"]


async def test_records_at_the_brokers_limit_end_like_any_other(world: World) -> None:
    """As large as the topic takes: a value, a key, headers that are a flood, and headers that grow in base64."""
    seeded = random.Random(1)
    room = DEFAULT_MAX_MESSAGE_BYTES - 200
    text = event(review_id="large", content="맛있어요 " * ((room - 200) // 13))
    flood: RawHeaders = [(b"n", seeded.randbytes(10)) for _ in range(room // 16)]
    sent: list[tuple[bytes | None, bytes | None, RawHeaders]] = [
        (KEY, text, []),
        (KEY, b"{" + seeded.randbytes(room), []),
        (seeded.randbytes(room), event(review_id=2, content="a"), []),
        (KEY, event(review_id="flood", content="맛있어요"), flood[: len(flood) * 9 // 10]),
        (KEY, event(review_id="bad", content="a"), [(b"\xff", seeded.randbytes(room - 200))]),
    ]
    for record in sent:
        await _send_raw(world, [record])
    async with world.running(LocalEngine()):
        results, letters = await world.until_answered(len(sent))
    assert [result.review_id for result in results] == ["large", "flood"]
    assert all(result.sentiment == "positive" for result in results)
    dead = {letter.reason: (letter.key, letter.value, _original(letter)) for letter in letters}
    wanted = [(key, value, list(headers)) for key, value, headers in (sent[1], sent[2], sent[4])]
    assert dead == dict(zip(["not_json", "wrong_key", "invalid_header"], wanted, strict=True))
    assert await world.committed() == len(sent)


async def _send_raw(world: World, records: Sequence[tuple[bytes | None, bytes | None, RawHeaders]]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=world.settings.kafka.bootstrap_servers, max_batch_size=2_000_000)
    async with producer:
        await (await producer.send_batch(raw_batch(producer, records), world.settings.topics.reviews, partition=0))


def _original(letter: Letter) -> list[tuple[bytes, bytes | None]]:
    """The headers of the record that it was."""
    headers = letter.headers
    if ESCAPED in dict(headers):
        assert [name for name, _ in headers if not name.startswith("dlq.")] == []
        headers = unescaped_headers(dict(headers)[ESCAPED])
    kept = [(name, value) for name, value in headers if not name.startswith("dlq.")]
    return [(name.encode("utf-8", "surrogateescape"), value) for name, value in kept]


def _bare(letter: Letter) -> tuple[bytes | None, bytes | None, list[tuple[bytes, bytes | None]]]:
    return letter.key, letter.value, _original(letter)
