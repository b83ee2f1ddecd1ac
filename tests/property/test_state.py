"""The fold against a recount from scratch: edits, deletes, repeats, reordered versions, summaries, failed commits."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from consumer.store.memory import MemoryStore
from consumer.stream.place import Place
from consumer.stream.state import Arrival, Folded, Label, ReviewState, Staged, fold
from schemas.base import Sentiment
from schemas.events import ReviewEvent

LABELS = {"good": Sentiment.POSITIVE, "bad": Sentiment.NEGATIVE, "so so": Sentiment.NEUTRAL}


@dataclass
class Reference:
    """A review by the rules in the fewest words: the highest version stands, of unversioned ones the last."""

    version: int | None = None
    content: str | None = None
    deleted: bool = False
    pending: bool = field(default=False)


class FoldMachine(RuleBasedStateMachine):
    """One restaurant, a few reviews, every kind of event, commits that fail."""

    def __init__(self) -> None:
        """Empty state."""
        super().__init__()
        self.store = MemoryStore()
        self.reference: dict[str, Reference] = {}
        self.now = 0.0

    @rule(
        review=st.sampled_from("abc"),
        version=st.none() | st.integers(1, 4),
        content=st.none() | st.sampled_from(sorted(LABELS)),
        committed=st.booleans(),
    )
    def event(self, review: str, version: int | None, content: str | None, *, committed: bool) -> None:
        """Fold one event; when its commit fails nothing has happened."""
        self.now += 1
        staged = Staged(self.store)
        event = ReviewEvent(review_id=review, restaurant_id=1, content=content, version=version)
        label = Label(LABELS[content], 0.9) if content is not None else None
        folded = fold(staged, Arrival(event, int(self.now)), label, self.now)
        if committed:
            self.store.apply(staged.changes, Place())
            self._expect(review, version, content, folded)

    def _expect(self, review: str, version: int | None, content: str | None, folded: Folded) -> None:
        before = self.reference.get(review)
        both = before is not None and version is not None and before.version is not None
        if before and both and version < before.version:  # type: ignore[operator]
            assert folded.outcome == "superseded"
        elif before and before.deleted and content is not None and not (both and version > before.version):  # type: ignore[operator]
            assert folded == Folded("superseded")
        elif before and before.content == content and before.deleted == (content is None):
            assert folded.outcome == ("deleted" if content is None else "duplicate")
            if version is not None and content is not None:
                before.version = max(version, before.version or 0)
        else:
            assert folded.outcome == ("deleted" if content is None else "analyzed")
            kept = version if version is not None else (before.version if before else None)
            self.reference[review] = Reference(kept, content, content is None, content is not None)

    @rule(most=st.integers(1, 3), committed=st.booleans())
    def summarise(self, most: int, *, committed: bool) -> None:
        """A summary reads the oldest pending reviews and retires those."""
        read = self.store.pending("1", most)
        staged = Staged(self.store)
        staged.retire("1", read, {str(r.review_id): (("positive", "food"),) for r in read}, self.now)
        if committed:
            self.store.apply(staged.changes, Place())
            for review in read:
                self.reference[str(review.review_id)].pending = False

    @invariant()
    def totals_equal_a_recount(self) -> None:
        """Counts and pending sets equal what counting from scratch gives."""
        state = self.store.restaurant("1")
        stand = [r.content for r in self.reference.values() if r.content is not None]
        counts = [sum(LABELS[c] is label for c in stand) for label in Sentiment]
        assert ([state.positive, state.negative, state.neutral] if state else [0, 0, 0]) == counts
        pending = {key for key, r in self.reference.items() if r.pending}
        assert {str(r.review_id) for r in self.store.pending("1", 10)} == pending
        assert (state.pending if state else 0) == len(pending)
        assert list(self.store.owing()) == (["1"] if pending else [])
        assert state is None or (state.pending_since is None) == (not pending)


TestFoldMachine = FoldMachine.TestCase
TestFoldMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_a_review_edited_while_its_summary_was_made_stays_pending() -> None:
    """The job retires exactly what it read."""
    store = MemoryStore()
    seen = _fold(store, "first")
    _fold(store, "second")
    assert not Staged(store).stands("1", seen)
    assert [r.text for r in store.pending("1", 9)] == ["second"]


def _fold(store: MemoryStore, content: str) -> ReviewState:
    staged = Staged(store)
    event = ReviewEvent(review_id="r", restaurant_id=1, content=content)
    fold(staged, Arrival(event, 0), Label(Sentiment.POSITIVE, None), 0.0)
    store.apply(staged.changes, Place())
    return store.pending("1", 1)[0]


def test_a_deletion_is_forgotten_after_its_time_and_not_before() -> None:
    """Until then a late original stays dead."""
    store = MemoryStore()
    _fold(store, "first")
    staged = Staged(store)
    fold(staged, Arrival(ReviewEvent(review_id="r", restaurant_id=1, content=None), 0), None, 100.0)
    store.apply(staged.changes, Place())
    early, late = Staged(store), Staged(store)
    early.expire(100.0, 9)
    late.expire(100.1, 9)
    assert early.changes.reviews == {}
    assert late.changes.reviews == {("1", "r"): None}
    store.apply(late.changes, Place())
    assert store.reviews([("1", "r")]).get(("1", "r")) is None


def test_a_deletion_that_this_commit_changes_is_not_forgotten_by_it() -> None:
    """A new version of it came just now."""
    store = MemoryStore()
    staged = Staged(store)
    fold(staged, Arrival(ReviewEvent(review_id="r", restaurant_id=1, content=None), 0), None, 1.0)
    store.apply(staged.changes, Place())
    again = Staged(store)
    event = ReviewEvent(review_id="r", restaurant_id=1, content="back", version=2)
    fold(again, Arrival(event.model_copy(update={"version": None}), 0), Label(Sentiment.POSITIVE, None), 2.0)
    again.put_review("1", ReviewState("r", 2, 0, b"h"))
    again.expire(9.0, 9)
    assert again.changes.reviews["1", "r"] is not None
