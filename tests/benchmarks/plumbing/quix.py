"""Quix Streams with its state: running counts a restaurant and a row a review, in its store and changelog topics."""

import sys
from typing import Any

from quixstreams import Application, State, message_context

from tests.benchmarks.plumbing.work import COMMIT_SECONDS, SCORE, Place, event_of, result_of


def main(guarantee: str) -> None:
    """Until it is killed."""
    place = Place.of_environment()
    app = Application(
        broker_address=place.bootstrap_servers,
        consumer_group=place.group,
        auto_offset_reset="earliest",
        processing_guarantee=guarantee,
        commit_interval=COMMIT_SECONDS,
        state_dir=str(place.state),
        loglevel="ERROR",
        producer_extra_config={"linger.ms": 5},
    )
    reviews = app.topic(place.reviews, value_deserializer="bytes")
    results = app.topic(place.results, value_serializer="bytes")
    app.dataframe(reviews).apply(_answer, stateful=True).to_topic(results)
    app.run()


def _answer(value: bytes, state: State) -> bytes:
    """The state's keys lie under the record's key, which is the restaurant."""
    at, event = message_context(), event_of(value)
    row = f"review/{event.review_id}"
    counts: dict[str, Any] = state.get("counts") or {"positive": 0, "total": 0}
    if state.get(row) is None:
        counts = {"positive": counts["positive"] + 1, "total": counts["total"] + 1}
        state.set("counts", counts)
    state.set(row, {"label": "positive", "score": SCORE, "version": event.version, "content": event.content})
    return result_of(event, at.topic, at.partition, at.offset)


if __name__ == "__main__":
    main(sys.argv[1])
