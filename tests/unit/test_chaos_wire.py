"""The comparison reads what the consumer writes."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from consumer.errors import DeadLetter
from consumer.pipeline import outputs
from schemas.base import Sentiment
from schemas.codec import encode
from schemas.headers import EventType
from schemas.results import Provenance, SentimentResult, Source
from tests.chaos import wire
from tests.chaos.comparison import NO_REVIEW, Place, Result
from tests.chaos.traffic import FATE, Fate, Message, Traffic


@dataclass(frozen=True)
class Stored:
    """A record as aiokafka gives it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int = 1000


def message(fate: Fate) -> Message:
    """The first of this fate."""
    traffic = Traffic(1)
    while (made := traffic.next()) and dict(made.headers)[FATE] != fate.encode():
        pass
    return made


def test_poison_and_its_dead_letter_have_one_fingerprint() -> None:
    """And another one when a byte, a header or the time has changed."""
    sent = message(Fate.LETTER)
    record = Stored("reviews", 3, 7, sent.key, sent.value, sent.headers)
    _, given = wire.input_of(record)
    out = outputs.dead_letter("dlq", record, DeadLetter("not_json", "no"), 1, 5.0)
    letter = wire.letter_of(Stored("dlq", 0, 0, out.key, out.value, out.headers))
    assert (given.review, letter.source, letter.reason) == (NO_REVIEW, Place(3, 7), "not_json")
    assert given.fingerprint == letter.fingerprint
    for changed in (
        Stored("dlq", 0, 0, out.key, b"other", out.headers),
        Stored("dlq", 0, 0, out.key, out.value, out.headers[1:]),
        Stored("dlq", 0, 0, out.key, out.value, out.headers, timestamp=1001),
    ):
        assert wire.letter_of(changed).fingerprint != given.fingerprint


def test_a_review_has_its_number_and_the_label_that_it_names() -> None:
    """As the engine will say."""
    sent = message(Fate.RESULT)
    number, given = wire.input_of(Stored("reviews", 3, 7, sent.key, sent.value, sent.headers))
    assert (number, given.review, given.fingerprint) == (0, 0, None)
    assert given.label in set(Sentiment)


@pytest.mark.parametrize("offset", [7, 8])
def test_a_result_names_its_record_twice_and_alike(offset: int) -> None:
    """In its provenance and in its `ce_id`."""
    source = Source(topic="reviews", partition=3, offset=7)
    value = SentimentResult(
        review_id=5,
        restaurant_id=1,
        outcome="analyzed",
        sentiment=Sentiment.NEUTRAL,
        provenance=Provenance(engine="chaos", model="1", prompt="p/1", source=source),
    )
    marks = outputs.headers(f"reviews/3/{offset}/sentiment", EventType.SENTIMENT, datetime.now(UTC).timestamp())
    record = Stored("sentiment", 3, 0, b"1", encode(value), marks)
    if offset != source.offset:
        with pytest.raises(ValueError, match="reviews/3/8/sentiment"):
            wire.result_of(record)
        return
    assert wire.result_of(record) == Result(3, Place(3, 7), 5, analyzed=True, label=Sentiment.NEUTRAL)
