"""Summary jobs against a recount: reviews come, change and go while rounds run, fail and crash, in any order."""

from collections import Counter
from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from consumer.pipeline.ask import Ask
from consumer.store.memory import MemoryStore
from consumer.stream.state import RestaurantState, ReviewState
from schemas.base import Sentiment, id_text
from schemas.findings import Aspect
from schemas.results import RestaurantSummary
from tests.unit.lane_world import LABELS, NAMES, RULES, ReviewsLane

REVIEWS = 12
RESTAURANTS = (1, 2)


class JobsMachine(RuleBasedStateMachine):
    """Two restaurants of one lane; prompts so small that a round takes several."""

    def __init__(self) -> None:
        """Empty."""
        super().__init__()
        self.store = MemoryStore()
        self.lane = ReviewsLane(self.store)
        self.lane.tuned(prompt_tokens=10)
        self.sent: dict[tuple[int, int], str | None] = {}
        """What stands once everything sent is committed."""
        self.committed: dict[tuple[int, int], str | None] = {}
        self.words = 0
        self.cited: dict[str, set[tuple[str, str]]] = {}
        """By review's content: what the last answer about it cites it for."""

    @rule(
        restaurant=st.sampled_from(RESTAURANTS),
        numbers=st.lists(st.integers(0, REVIEWS), min_size=1, max_size=20),
        word=st.sampled_from([*LABELS, None]),
    )
    def events(self, restaurant: int, numbers: list[int], word: str | None) -> None:
        """New reviews, edits, deletions."""
        for number in numbers:
            self.words += 1
            content = f"{word} word{self.words}" if word else None
            self.lane.send(restaurant, number, content)
            if content is not None and self.sent.get((restaurant, number), "") is None:
                continue  # a deleted review stays dead: it has no higher version
            self.sent[restaurant, number] = content

    @rule()
    def start(self) -> None:
        """What is due is asked."""
        self.lane.now += 61
        self.lane.start()

    @precondition(lambda self: self.lane.asks)
    @rule(
        which=st.integers(0, 99),
        positive=st.sets(st.integers(1, 16)),
        negative=st.sets(st.integers(1, 16)),
        fails=st.sampled_from([False, False, False, True]),
    )
    def answer(self, which: int, positive: set[int], negative: set[int], *, fails: bool) -> None:
        """A question is answered, out of order, or fails for good."""
        ask = self.lane.asks[which % len(self.lane.asks)]
        if fails:
            self.lane.fail(ask)
        else:
            self._answer(ask, positive, negative)

    def _answer(self, ask: Ask, positive: set[int], negative: set[int]) -> None:
        for number, text in enumerate(ask.task.reviews, 1):
            sides = {("positive", "food"): positive, ("negative", "service"): negative}
            self.cited[text] = {side for side, numbers in sides.items() if number in numbers}
        self.lane.answer(ask, sorted(positive), sorted(negative))

    @rule(
        gone=st.sets(st.integers(0, REVIEWS)),
        edited=st.sets(st.integers(0, REVIEWS)),
        positive=st.sets(st.integers(1, 4)),
        committed=st.booleans(),
    )
    def change_what_is_read(self, gone: set[int], edited: set[int], positive: set[int], *, committed: bool) -> None:
        """All jobs are answered, and between their beginning and their commit reviews change and go."""
        self.commit()
        self.start()
        for restaurant in RESTAURANTS:
            self.events(restaurant, sorted(gone), None)
            self.events(restaurant, sorted(edited), "bad")
        if committed:
            self.commit()
        while self.lane.asks:
            self._answer(self.lane.asks[0], positive, {1})
        self.commit()

    @rule()
    def commit(self) -> None:
        """All that is done is folded, at once."""
        self.lane.commit()
        self.committed = dict(self.sent)

    @rule(now=st.sampled_from([False, False, True]))
    def crash(self, *, now: bool) -> None:
        """What was staged, asked and answered is gone; records that were not committed come again."""
        if now:
            self.lane.crash()

    @rule()
    def drain(self) -> None:
        """Nobody is left to fail: everything owed is made. Then each last summary reflects the last state."""
        self.commit()
        for number in RESTAURANTS:
            self.events(number, [REVIEWS + 1], "good")  # whoever is parked starts over
        self.commit()
        for _ in range(6):
            self.lane.now += 200
            self.lane.start()
            while self.lane.asks:
                self._answer(self.lane.asks[0], {1, 2}, {3})
            self.commit()
        for number in RESTAURANTS:
            self._reflects_its_state(number)

    def _reflects_its_state(self, number: int) -> None:
        state = self.store.restaurant(str(number))
        assert state is None or not state.pending
        made = self.lane.summaries(number)
        if state is None or not state.total:
            assert not made or made[-1] is None
            return
        last = made[-1]
        assert last
        assert (last.positive_count, last.negative_count, last.review_count) == state.counts
        assert _counted(last.positive_aspects, last.negative_aspects) == self._recounted(number)

    def _recounted(self, number: int) -> Counter[tuple[str, str]]:
        """From scratch: what each review that stands supports."""
        reviews = [self.store.reviews([(str(number), str(n))]).get((str(number), str(n))) for n in range(REVIEWS + 2)]
        standing = [review for review in reviews if review and review.label and review.text is None]
        for review in standing:
            content = self.committed[number, int(review.review_id)]
            assert content is not None
            assert set(review.supports) == self.cited[content]
        return Counter(pair for review in standing for pair in review.supports)

    @invariant()
    def totals_and_pending_equal_a_recount(self) -> None:
        """Of what is committed."""
        for number in RESTAURANTS:
            state = self.store.restaurant(str(number)) or RestaurantState(number)
            stand = {n: c for (r, n), c in self.committed.items() if r == number and c is not None}
            labels = Counter(LABELS[content.split()[0]] for content in stand.values())
            assert (state.positive, state.negative) == (labels[Sentiment.POSITIVE], labels[Sentiment.NEGATIVE])
            pending = self.store.pending(str(number), 99)
            assert {r.review_id: r.text for r in pending}.items() <= stand.items()
            assert state.pending == len(pending)
            assert state.pending_characters == sum(len(r.text or "") for r in pending)

    @invariant()
    def supports_equal_a_recount(self) -> None:
        """Whatever was retracted, merged and read in portions; and a read review keeps no text."""
        for number in RESTAURANTS:
            state = self.store.restaurant(str(number))
            last = state.summary if state else None
            standing = _counted(last.positive, last.negative) if last else Counter[tuple[str, str]]()
            assert standing == self._recounted(number)

    @invariant()
    def what_is_published_is_what_stands(self) -> None:
        """No quote of a review that is gone, no version twice, and the state's summary is the last one published."""
        for number in RESTAURANTS:
            made = [summary for summary in self.lane.summaries(number) if summary]
            assert all(one.version < other.version for one, other in pairwise(made))
            state, last = self.store.restaurant(str(number)), (self.lane.summaries(number) or [None])[-1]
            assert (state.summary is None if state else True) is (last is None)
            if last and state and state.summary:
                assert (last.version, last.positive_aspects) == (state.summary.version, state.summary.positive)
                assert self._quoted(last) <= self._standing_words(number)
                counts = (last.positive_count, last.negative_count, last.review_count)
                assert state.pending or counts == state.counts

    def _quoted(self, summary: RestaurantSummary) -> set[str]:
        aspects = (*summary.positive_aspects, *summary.negative_aspects)
        return {evidence.quote for aspect in aspects for evidence in aspect.evidence}

    def _standing_words(self, number: int) -> set[str]:
        return {content for (r, _), content in self.committed.items() if r == number and content is not None}

    @invariant()
    def each_record_has_its_own_id(self) -> None:
        """Exactly once: nothing that was published comes again."""
        for topic in (NAMES.summary, NAMES.sentiment, NAMES.totals):
            ids = [dict(output.headers)["ce_id"] for output in self.lane.published[topic] if output.value]
            assert len(ids) == len(set(ids))


def _counted(positive: tuple[Aspect, ...], negative: tuple[Aspect, ...]) -> Counter[tuple[str, str]]:
    sides = (("positive", positive), ("negative", negative))
    return Counter({(polarity, a.aspect): a.support_count for polarity, aspects in sides for a in aspects})


TestJobsMachine = JobsMachine.TestCase
TestJobsMachine.settings = settings(max_examples=80, stateful_step_count=25, deadline=None)


def test_a_read_review_keeps_no_text() -> None:
    """Only what it supports."""
    lane = ReviewsLane()
    for number in range(RULES.min_reviews):
        lane.send(1, number, "good")
    lane.commit()
    lane.summarise(positive=(1,))
    first: ReviewState | None = lane.store.reviews([("1", id_text(0))]).get(("1", id_text(0)))
    assert first
    assert (first.text, first.supports) == (None, (("positive", "food"),))
