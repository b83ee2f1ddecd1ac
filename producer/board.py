"""What is known of each restaurant, folded from the result topics: pure."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from schemas.base import id_text
from schemas.codec import Undecodable, decode, decode_group_key
from schemas.results import RestaurantStrengths, RestaurantSummary, SentimentResult, SentimentTotals
from schemas.topics import TopicNames


@dataclass(slots=True)
class Row:
    """One restaurant; what has not come yet, or was taken back by a tombstone, is None."""

    restaurant: str
    results: int = 0
    """Sentiment results seen."""
    totals: SentimentTotals | None = None
    summary: RestaurantSummary | None = None
    strengths: RestaurantStrengths | None = None


class Board:
    """The last word on every restaurant. `take` returns whether the record was one of ours and could be read."""

    def __init__(self, topics: TopicNames) -> None:
        self.rows: dict[str, Row] = {}
        self.outcomes: Counter[str] = Counter()
        """Sentiment results by outcome."""
        self.unreadable = 0
        self._takers: Mapping[str, Callable[[bytes | None, bytes | None], None]] = {
            topics.sentiment: self._sentiment,
            topics.totals: self._totals,
            topics.summary: self._summary,
            topics.strength: self._strength,
        }

    def take(self, topic: str, key: bytes | None, value: bytes | None) -> bool:
        """Fold one record. A topic that is none of the four is left alone; what cannot be read is counted."""
        taker = self._takers.get(topic)
        if taker is None:
            return False
        try:
            taker(key, value)
        except Undecodable:
            self.unreadable += 1
            return False
        return True

    def in_order(self) -> list[Row]:
        """Rows by comparison group, then by restaurant."""
        return sorted(self.rows.values(), key=lambda row: (group_of(row) or "", row.restaurant))

    def _row(self, restaurant: str | int) -> Row:
        return self.rows.setdefault(id_text(restaurant), Row(id_text(restaurant)))

    def _sentiment(self, _key: bytes | None, value: bytes | None) -> None:
        result = decode(SentimentResult, value)
        self._row(result.restaurant_id).results += 1
        self.outcomes[result.outcome] += 1

    def _totals(self, key: bytes | None, value: bytes | None) -> None:
        if value is None:
            self._row(_text(key)).totals = None
        else:
            totals = decode(SentimentTotals, value)
            self._row(totals.restaurant_id).totals = totals

    def _summary(self, key: bytes | None, value: bytes | None) -> None:
        if value is None:
            self._row(_text(key)).summary = None
        else:
            summary = decode(RestaurantSummary, value)
            self._row(summary.restaurant_id).summary = summary

    def _strength(self, key: bytes | None, value: bytes | None) -> None:
        """A restaurant that moved has strengths in two groups: the highest version counts."""
        if value is None:
            group, restaurant = decode_group_key(key)
            row = self._row(restaurant)
            if row.strengths and (row.strengths.comparison_group or "") == group:
                row.strengths = None
            return
        found = decode(RestaurantStrengths, value)
        row = self._row(found.restaurant_id)
        if row.strengths is None or found.version >= row.strengths.version:
            row.strengths = found


def group_of(row: Row) -> str | None:
    """The comparison group of a row, as far as its results tell."""
    for result in (row.strengths, row.summary):
        if result is not None:
            return result.comparison_group
    return None


def _text(key: bytes | None) -> str:
    try:
        return (key or b"").decode()
    except UnicodeDecodeError:
        raise Undecodable("invalid_key", "the key is not UTF-8") from None
