"""A lane's state in memory: a dictionary of restaurants, one of reviews each, and the pending ones in order."""

from collections.abc import Iterable
from itertools import islice

from consumer.stream.state import Changes, RestaurantState, ReviewState


class MemoryStore:
    """The store's contract in memory. Nothing survives the process: a restart begins with empty state."""

    def __init__(self) -> None:
        self._restaurants: dict[str, RestaurantState] = {}
        self._reviews: dict[str, dict[str, ReviewState]] = {}
        self._pending: dict[str, dict[str, None]] = {}

    def restaurant(self, restaurant: str) -> RestaurantState | None:
        """State of a restaurant, if any."""
        return self._restaurants.get(restaurant)

    def review(self, restaurant: str, review: str) -> ReviewState | None:
        """State of a review, if any."""
        reviews = self._reviews.get(restaurant)
        return reviews.get(review) if reviews else None

    def pending(self, restaurant: str, limit: int) -> list[ReviewState]:
        """At most `limit` reviews that no summary has read, oldest first."""
        reviews = self._reviews.get(restaurant, {})
        return [reviews[key] for key in islice(self._pending.get(restaurant, ()), limit)]

    def owing(self) -> Iterable[str]:
        """Restaurants with pending reviews."""
        return list(self._pending)

    def apply(self, changes: Changes) -> None:
        """Make a commit's changes visible, all at once."""
        self._restaurants.update(changes.restaurants)
        for (restaurant, review), state in changes.reviews.items():
            self._reviews.setdefault(restaurant, {})[review] = state
            self._mark(restaurant, review, pending=state.text is not None)

    def _mark(self, restaurant: str, review: str, *, pending: bool) -> None:
        waiting = self._pending.setdefault(restaurant, {})
        if pending:
            waiting.pop(review, None)  # an edit goes to the end of the queue
            waiting[review] = None
        else:
            waiting.pop(review, None)
        if not waiting:
            del self._pending[restaurant]
