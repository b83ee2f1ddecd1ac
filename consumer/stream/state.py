"""The fold: what each review, edit, delete and repeat does to a restaurant's state. Pure, in offset order."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Protocol

from pydantic import ConfigDict

from consumer.stream.place import Place
from consumer.values import value
from schemas.base import Sentiment, id_text
from schemas.codec import encode
from schemas.events import ReviewEvent
from schemas.findings import MAX_EVIDENCE, Aspect
from schemas.results import Outcome

MAX_TEXT = 4000
"""Characters of a review that are kept for its summary: with the rest of its state below 64 KiB in any script."""

MAX_SUMMARY_BYTES = 56 * 1024
"""Of a summary's aspects as JSON: with the rest of its restaurant's state below 64 KiB, however wide the ids are."""

Supports = tuple[tuple[str, str], ...]
"""(polarity, aspect) pairs of the summary that a review stands behind."""


@value
class ReviewState:
    """What is kept of one review: `V|restaurant|review`."""

    review_id: str | int
    version: int | None
    timestamp: int
    """Of its record, in milliseconds: decides about replayed records."""
    content_hash: bytes | None
    """None once deleted: the mark that keeps a late original dead."""
    label: Sentiment | None = None
    score: float | None = None
    text: str | None = None
    """Until it is summarised."""
    supports: Supports = ()
    offset: int = -1
    """Of the record that made it what it is."""
    deleted_at: float | None = None
    """When the deletion was folded, seconds since 1970."""

    __pydantic_config__ = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    @property
    def known_as(self) -> str:
        """Id and version: what it is called where a job that reads it kills the engine."""
        return f"{self.review_id}/{self.version}"


@value
class SummaryState:
    """The last summary as it stands, retractions taken out."""

    overall: str
    positive: tuple[Aspect, ...]
    negative: tuple[Aspect, ...]
    language: str
    version: int
    group: str | None
    """Under which it was published."""
    truncated: bool = False
    """The last reviews it read were cut."""
    counted: tuple[int, int, int] = (0, 0, 0)
    """Positive, negative and all reviews, as they were published with it."""
    cached: bool = False
    """No engine was asked for it: the result cache had all of it."""


def bounded(summary: SummaryState) -> SummaryState:
    """The summary with as many quotes an aspect as keep it below MAX_SUMMARY_BYTES, the newest first."""
    quotes = MAX_EVIDENCE
    while quotes and _bytes(summary) > MAX_SUMMARY_BYTES:
        quotes -= 1
        positive, negative = (
            tuple(a.model_copy(update={"evidence": a.evidence[:quotes]}) for a in aspects)
            for aspects in (summary.positive, summary.negative)
        )
        summary = replace(summary, positive=positive, negative=negative)
    return summary


def _bytes(summary: SummaryState) -> int:
    return sum(len(encode(aspect)) for aspect in (*summary.positive, *summary.negative))


@value
class RestaurantState:
    """What is kept of one restaurant: `R|restaurant`. Bounded."""

    restaurant_id: str | int
    positive: int = 0
    negative: int = 0
    neutral: int = 0
    group: str | None = None
    pending: int = 0
    """Reviews that no summary has read."""
    pending_since: float | None = None
    """When the first of them was folded, seconds since 1970; None where there are none."""
    summary: SummaryState | None = None
    summaries: int = 0
    """Made so far: versions go on rising when all reviews were deleted and new ones come."""
    pending_characters: int = 0
    """Of the texts that no summary has read."""
    failures: int = 0
    """Summary jobs in a row that failed since its last review."""
    parked: str | None = None
    """Why no summary is tried any more, until its next review."""

    @property
    def total(self) -> int:
        """Reviews that stand."""
        return self.positive + self.negative + self.neutral

    @property
    def counts(self) -> tuple[int, int, int]:
        """Positive, negative and all reviews that stand: what a summary is published with."""
        return self.positive, self.negative, self.total


@value
class StrengthState:
    """What a member's last strengths came from: `G|group|restaurant`. Bounded, whatever the size of the group."""

    version: int = 0
    """Of its own summary; 0 where it has no strengths yet."""
    revision: int = 0
    """How often they were published anew under this version, because others changed."""
    others: str = ""
    """Digest of the others' summaries that they were compared with."""
    changes: int = 0
    """Rises with each change of those: the difference tells how many came since."""
    content: str = ""
    """Digest of what was published."""
    failures: int = 0
    """Jobs in a row that failed for the summary of `tried`."""
    tried: int = 0
    parked: str | None = None
    """Why none is tried any more, until its next summary."""


class Store(Protocol):
    """Where a lane's state lies. Restaurants and reviews are named by their ids as text."""

    @property
    def place(self) -> Place:
        """Where the state stands in its changelog."""

    @property
    def size(self) -> int:
        """Bytes on disk."""

    def restaurant(self, restaurant: str) -> RestaurantState | None:
        """State of a restaurant, if any."""

    def reviews(self, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], ReviewState]:
        """States of many reviews, by restaurant and review; those that there are."""

    def pending(self, restaurant: str, limit: int) -> list[ReviewState]:
        """At most `limit` reviews that no summary has read, oldest first."""

    def strength(self, group: str, restaurant: str) -> StrengthState | None:
        """What a member's last strengths came from, if anything is known of it."""

    def clear(self) -> None:
        """Forget everything: it is read from the changelog anew."""

    def owing(self) -> Iterable[str]:
        """Restaurants with pending reviews: what a lane that opens owes summaries to."""

    def deleted(self, before: float, limit: int) -> list[tuple[str, str]]:
        """At most `limit` (restaurant, review) deleted before that (seconds since 1970, as folded), oldest first."""

    def close(self) -> None:
        """Let go of what it holds; safe to call twice."""

    def apply(self, changes: "Changes", place: Place) -> None:
        """Make a commit's changes visible, all at once, and remember where that stands."""

    def flush(self) -> None:
        """Keep what was applied, so that a restart finds it; in a thread, for as long as the disk takes."""


@dataclass(slots=True)
class Changes:
    """What a commit changes: the last value of each key, None where the key is gone."""

    restaurants: dict[str, RestaurantState | None] = field(default_factory=dict)
    reviews: dict[tuple[str, str], ReviewState | None] = field(default_factory=dict)
    strengths: dict[tuple[str, str], StrengthState | None] = field(default_factory=dict)
    """By group and restaurant."""
    json: dict[object, bytes] = field(default_factory=dict, compare=False, repr=False)
    """Values in the form of the changelog, as far as they are known: nothing is encoded twice."""


class Staged:
    """Reads through to the store; keeps the changes apart until their commit has succeeded."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[tuple[str, str], ReviewState | None] = {}
        self.changes = Changes()

    def look_up(self, names: Sequence[tuple[str, str]]) -> None:
        """Read these reviews from the store at once: a commit needs many."""
        self._known |= dict.fromkeys(names) | self._store.reviews(names)

    def restaurant(self, restaurant: str) -> RestaurantState | None:
        """The restaurant's state with the staged changes."""
        if restaurant in self.changes.restaurants:
            return self.changes.restaurants[restaurant]
        return self._store.restaurant(restaurant)

    def review(self, restaurant: str, review: str) -> ReviewState | None:
        """The review's state with the staged changes."""
        name = restaurant, review
        if name in self.changes.reviews:
            return self.changes.reviews[name]
        if name not in self._known:
            self.look_up([name])
        return self._known[name]

    def stands(self, restaurant: str, read: ReviewState) -> bool:
        """Whether a review is still as a summary read it, and still waits for one."""
        now = self.review(restaurant, id_text(read.review_id))
        return now is not None and now.text is not None and now.content_hash == read.content_hash

    def retire(
        self, restaurant: str, read: Sequence[ReviewState], supports: Mapping[str, Supports], now: float
    ) -> None:
        """Stage that a summary has read these reviews, all of which stand: their text goes, what they support stays.

        Those that are left came while it was made: they are counted as waiting from `now`.
        """
        for review in read:
            key = id_text(review.review_id)
            current = self.review(restaurant, key) or review
            self.put_review(restaurant, replace(current, text=None, supports=supports.get(key, ())))
        if (state := self.restaurant(restaurant)) is not None:
            left = _less_pending(state, *read)
            done = replace(left, pending_since=now if left.pending else None, failures=0)
            self.put_restaurant(restaurant, done)

    def expire(self, before: float, limit: int) -> None:
        """Stage that deletions which were folded before that are forgotten; so many at most."""
        for key in self._store.deleted(before, limit):
            self.changes.reviews.setdefault(key, None)

    def put_restaurant(self, restaurant: str, state: RestaurantState) -> None:
        """Stage a restaurant's new state."""
        self.changes.restaurants[restaurant] = state

    def put_review(self, restaurant: str, state: ReviewState) -> None:
        """Stage a review's new state."""
        self.changes.reviews[restaurant, id_text(state.review_id)] = state


@value
class Label:
    """What the engine found: null score where it gives no probability."""

    sentiment: Sentiment
    score: float | None


@value
class Arrival:
    """One review event with what its record says of it."""

    event: ReviewEvent
    timestamp: int
    """Of the record, milliseconds since 1970."""
    replayed: bool = False
    """Came back from the dead letters."""
    offset: int = -1
    """Of the record."""


@value
class Folded:
    """What is to be said of an event: its outcome and the label that stands."""

    outcome: Outcome
    label: Label | None = None


def fold(staged: Staged, arrival: Arrival, label: Label | None, now: float) -> Folded:
    """Fold one event into the staged state; `label` is None exactly for a deletion. `now`: seconds since 1970."""
    event = arrival.event
    key = id_text(event.restaurant_id)
    restaurant = staged.restaurant(key) or RestaurantState(event.restaurant_id)
    before = staged.review(key, id_text(event.review_id))
    if before is not None and (settled := _settled(before, arrival)):
        if settled.outcome == "duplicate" and _is_newer(before, event):
            staged.put_review(key, replace(before, version=event.version))  # or a late middle version would win
        if settled.outcome != "superseded":
            _take_group(staged, key, restaurant, event)
        return settled
    after = _review(arrival, label, before, now)
    restaurant = _counted(_retracted(restaurant, before), after, now)
    staged.put_review(key, after)
    if restaurant.failures or restaurant.parked:
        restaurant = replace(restaurant, failures=0, parked=None)
    _take_group(staged, key, restaurant, event)
    return Folded("deleted") if label is None else Folded("analyzed", label)


def answer_again(store: Store, arrival: Arrival) -> Folded:
    """What is to be said of an event that is in the state already; nothing is folded.

    A delivery that was interrupted after the state was written, and before the offset was, brings it again.
    """
    event = arrival.event
    name = id_text(event.restaurant_id), id_text(event.review_id)
    standing = store.reviews([name]).get(name)
    if standing is None and event.content is not None and event.deadline is not None:
        return Folded("expired")  # nothing else leaves no trace
    if standing is None or (label := _label(standing)) is None:
        return Folded("deleted" if event.content is None else "superseded")
    if standing.offset == arrival.offset:
        return Folded("analyzed", label)
    same = event.content is not None and standing.content_hash == content_hash(event.content)
    return Folded("duplicate" if same else "superseded", label)


def content_hash(content: str) -> bytes:
    """Tells whether two contents are the same."""
    return blake2b(content.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _settled(before: ReviewState, arrival: Arrival) -> Folded | None:
    """The answer for an event that changes nothing, or None."""
    event = arrival.event
    standing = _label(before)
    if _is_older(before, arrival):
        return Folded("superseded", standing)
    if before.content_hash is None:
        return Folded("deleted") if event.content is None else None
    if event.content is not None and before.content_hash == content_hash(event.content):
        return Folded("duplicate", standing)
    return None


def _label(review: ReviewState) -> Label | None:
    return Label(review.label, review.score) if review.label else None


def _is_older(before: ReviewState, arrival: Arrival) -> bool:
    version = arrival.event.version
    if version is not None and before.version is not None and version != before.version:
        return version < before.version
    if before.content_hash is None and arrival.event.content is not None:
        return True  # a late original of a deleted review stays dead
    return arrival.replayed and arrival.timestamp < before.timestamp


def _is_newer(before: ReviewState, event: ReviewEvent) -> bool:
    return event.version is not None and (before.version is None or event.version > before.version)


def _review(arrival: Arrival, label: Label | None, before: ReviewState | None, now: float) -> ReviewState:
    event = arrival.event
    version = event.version if event.version is not None or before is None else before.version
    if event.content is None or label is None:
        mark = ReviewState(event.review_id, version, arrival.timestamp, content_hash=None)
        return replace(mark, offset=arrival.offset, deleted_at=now)
    return ReviewState(
        event.review_id,
        version,
        arrival.timestamp,
        content_hash(event.content),
        label.sentiment,
        label.score,
        text=event.content[:MAX_TEXT],
        offset=arrival.offset,
    )


def _counted(restaurant: RestaurantState, review: ReviewState, now: float) -> RestaurantState:
    if review.label is None:
        return restaurant
    return _add(
        restaurant,
        review.label,
        1,
        pending=restaurant.pending + 1,
        pending_since=restaurant.pending_since if restaurant.pending else now,
        pending_characters=restaurant.pending_characters + len(review.text or ""),
    )


def _retracted(restaurant: RestaurantState, review: ReviewState | None) -> RestaurantState:
    """Take a review's label, its support and its quotes out."""
    if review is None or review.label is None:
        return restaurant
    restaurant = _add(restaurant, review.label, -1)
    if review.text is not None:
        return _less_pending(restaurant, review)
    if restaurant.summary is None:
        return restaurant
    summary = restaurant.summary
    return replace(
        restaurant,
        summary=replace(
            summary,
            positive=without_review(summary.positive, "positive", review),
            negative=without_review(summary.negative, "negative", review),
        ),
    )


def without_review(aspects: Iterable[Aspect], polarity: str, review: ReviewState) -> tuple[Aspect, ...]:
    """The aspects less this review's support and quotes; an aspect nobody supports is gone."""
    supported = {aspect for p, aspect in review.supports if p == polarity}
    review_id = id_text(review.review_id)
    left: list[Aspect] = []
    for aspect in aspects:
        count = aspect.support_count - (aspect.aspect in supported)
        evidence = tuple(e for e in aspect.evidence if e.review_id is None or id_text(e.review_id) != review_id)
        if count > 0:
            left.append(aspect.model_copy(update={"support_count": count, "evidence": evidence}))
    return tuple(left)


def _add(restaurant: RestaurantState, label: Sentiment, count: int, **more: Any) -> RestaurantState:
    """Count a label, and set what else changes, in one copy: copies are a good part of a fold."""
    match label:
        case Sentiment.POSITIVE:
            return replace(restaurant, positive=restaurant.positive + count, **more)
        case Sentiment.NEGATIVE:
            return replace(restaurant, negative=restaurant.negative + count, **more)
        case Sentiment.NEUTRAL:
            return replace(restaurant, neutral=restaurant.neutral + count, **more)


def _less_pending(restaurant: RestaurantState, *reviews: ReviewState) -> RestaurantState:
    pending = restaurant.pending - len(reviews)
    return replace(
        restaurant,
        pending=pending,
        pending_since=restaurant.pending_since if pending else None,
        pending_characters=restaurant.pending_characters - sum(len(review.text or "") for review in reviews),
    )


def _take_group(staged: Staged, key: str, restaurant: RestaurantState, event: ReviewEvent) -> None:
    """Stage the restaurant, with the latest non-null group."""
    if event.comparison_group and event.comparison_group != restaurant.group:
        restaurant = replace(restaurant, group=event.comparison_group)
    staged.put_restaurant(key, restaurant)
