"""A lane's state in memory: a dictionary of restaurants, one of reviews each, and the pending ones in order."""

from collections.abc import Iterable, Sequence
from heapq import nsmallest
from itertools import islice

from consumer.stream.place import Place
from consumer.stream.state import Changes, RestaurantState, ReviewState, StrengthState


class MemoryStore:
    """The store's contract in memory: a restart reads the whole changelog."""

    def __init__(self) -> None:
        self.place = Place()
        """Where the state stands in its changelog."""
        self._restaurants: dict[str, RestaurantState] = {}
        self._reviews: dict[str, dict[str, ReviewState]] = {}
        self._pending: dict[str, dict[str, None]] = {}
        self._strengths: dict[tuple[str, str], StrengthState] = {}

    @property
    def size(self) -> int:
        """Nothing of it is on disk."""
        return 0

    def clear(self) -> None:
        """Forget everything."""
        self.__init__()  # type: ignore[misc] # an empty store is a new one

    def restaurant(self, restaurant: str) -> RestaurantState | None:
        """State of a restaurant, if any."""
        return self._restaurants.get(restaurant)

    def reviews(self, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], ReviewState]:
        """States of many reviews, by restaurant and review; those that there are."""
        found = ((name, self._reviews.get(name[0], {}).get(name[1])) for name in names)
        return {name: state for name, state in found if state}

    def pending(self, restaurant: str, limit: int) -> list[ReviewState]:
        """At most `limit` reviews that no summary has read, oldest first."""
        reviews = self._reviews.get(restaurant, {})
        return [reviews[key] for key in islice(self._pending.get(restaurant, ()), limit)]

    def strength(self, group: str, restaurant: str) -> StrengthState | None:
        """What a member's last strengths came from, if anything is known of it."""
        return self._strengths.get((group, restaurant))

    def owing(self) -> Iterable[str]:
        """Restaurants with pending reviews."""
        return list(self._pending)

    def deleted(self, before: float, limit: int) -> list[tuple[str, str]]:
        """At most `limit` (restaurant, review) deleted before that (seconds since 1970, as folded), oldest first."""
        marks = (
            (state.deleted_at, restaurant, review)
            for restaurant, reviews in self._reviews.items()
            for review, state in reviews.items()
            if state.deleted_at is not None and state.deleted_at < before
        )
        return [(restaurant, review) for _, restaurant, review in nsmallest(limit, marks)]

    def close(self) -> None:
        """Nothing is held."""

    def flush(self) -> None:
        """A restart finds nothing."""

    def apply(self, changes: Changes, place: Place) -> None:
        """Make a commit's changes visible, all at once, and remember where it stands."""
        for restaurant, state in changes.restaurants.items():
            if state is None:
                self._restaurants.pop(restaurant, None)
            else:
                self._restaurants[restaurant] = state
        for (restaurant, review), its in changes.reviews.items():
            self._put(restaurant, review, its)
        for member, strength in changes.strengths.items():
            if strength is None:
                self._strengths.pop(member, None)
            else:
                self._strengths[member] = strength
        self.place = place

    def _put(self, restaurant: str, review: str, state: ReviewState | None) -> None:
        reviews = self._reviews.setdefault(restaurant, {})
        if state is None:
            reviews.pop(review, None)
        else:
            reviews[review] = state
        if not reviews:
            del self._reviews[restaurant]
        self._mark(restaurant, review, pending=state is not None and state.text is not None)

    def _mark(self, restaurant: str, review: str, *, pending: bool) -> None:
        waiting = self._pending.setdefault(restaurant, {})
        waiting.pop(review, None)  # an edit goes to the end of the queue
        if pending:
            waiting[review] = None
        if not waiting:
            del self._pending[restaurant]
