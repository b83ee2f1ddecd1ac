"""What every contestant does with a record: a validated event in, a SentimentResult out, always the same label."""

import os
from dataclasses import dataclass
from pathlib import Path

from schemas.base import Sentiment
from schemas.codec import decode_review, encode
from schemas.events import ReviewEvent
from schemas.results import Provenance, SentimentResult, Source

SCORE = 0.97
COMMIT_SECONDS = 0.2
"""Between commits, where a contestant commits by time."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a contestant works; each finds it in its environment."""

    bootstrap_servers: str
    group: str
    reviews: str
    results: str
    state: Path

    @classmethod
    def of_environment(cls) -> "Place":
        """As the harness has set it."""
        env = os.environ
        return cls(
            env["KAFKA_BOOTSTRAP_SERVERS"],
            env["KAFKA_GROUP_ID"],
            env["TOPIC_REVIEWS"],
            env["TOPIC_SENTIMENT"],
            Path(env["STATE_DIR"]),
        )


def event_of(value: bytes | None) -> ReviewEvent:
    """Validated. Raises Undecodable."""
    return decode_review(value).event


def result_of(event: ReviewEvent, topic: str, partition: int, offset: int) -> bytes:
    """The record that answers it."""
    return encode(
        SentimentResult(
            review_id=event.review_id,
            restaurant_id=event.restaurant_id,
            review_version=event.version,
            outcome="analyzed",
            sentiment=Sentiment.POSITIVE,
            score=SCORE,
            provenance=Provenance(
                engine="constant",
                model="constant-1",
                prompt="sentiment/1",
                source=Source(topic=topic, partition=partition, offset=offset),
            ),
        )
    )
