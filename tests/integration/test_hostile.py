"""Records nobody would wish for: each ends as a result or a dead letter with a clear reason; the stream goes on."""

import pytest

from consumer.engines.local.engine import LocalEngine
from deploy.kafka.sources import Kafka
from schemas.codec import encode_document
from schemas.results import SentimentResult
from tests.integration.world import World

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
}
DEAD = {
    "not JSON": (b"not json {", "not_json", "the value is not JSON"),
    "not UTF-8": (b'{"review_id": "\xff\xfe"}', "not_json", "not valid UTF-8"),
    "lone surrogate": (rb'{"review_id":1,"restaurant_id":1,"content":"\ud800"}', "not_json", "surrogate"),
    "null value": (None, "null_value", "no value"),
    "deep": (b"[" * 10_000, "not_json", "depth limit"),
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
    for name in ("empty", "blank", "emoji", "nul", "bidi", "1", "unknown", "optional"):
        assert answers[name].outcome == "analyzed"
        assert answers[name].sentiment is not None
    assert answers["deleted"].outcome == "deleted"
    assert answers["deleted"].sentiment is None
