"""Summary jobs: when they are due, what they read, what becomes of those that fail."""

from collections import Counter

import pytest

from consumer.analysis.answers import MAX_REVIEWS
from consumer.hooks.events import What
from consumer.pipeline.rounds import MAX_PROMPTS
from consumer.stream.state import RestaurantState
from tests.unit.lane_world import NAMES, RULES, ReviewsLane


@pytest.mark.parametrize(
    ("pending", "characters", "due"),
    [(2, 10, 160.0), (3, 10, 100.0), (1, 2000, 100.0), (1, 1999, 160.0)],
)
def test_a_summary_is_due_by_count_by_tokens_or_by_age(pending: int, characters: int, due: float) -> None:
    """Whichever comes first."""
    state = RestaurantState(1, pending=pending, pending_since=100.0, pending_characters=characters)
    assert RULES.due(state) == due


def test_nothing_is_due_where_nothing_is_new_or_it_is_parked() -> None:
    """However old."""
    assert RULES.due(RestaurantState(1, positive=9)) is None
    assert RULES.due(RestaurantState(1, pending=9, pending_since=1.0, parked="engine_error: no")) is None


def test_long_reviews_make_a_summary_due_before_there_are_many() -> None:
    """Their characters are counted as they come and go."""
    lane = ReviewsLane()
    lane.send(1, 1, "good " + "x" * 1000)
    lane.commit()
    lane.start()
    assert lane.asks == []
    lane.send(1, 2, "good " + "x" * 1000)
    lane.commit()
    lane.start()
    assert len(lane.asks) == 1


def _many(lane: ReviewsLane, count: int, restaurant: int = 1, first: int = 0) -> None:
    for number in range(first, first + count):
        lane.send(restaurant, number, f"good {number}")
    lane.commit()


def test_more_than_one_prompt_holds_is_read_in_several_and_told_in_one() -> None:
    """At once, for the same restaurant; one commit retires all of them, and one summary is published."""
    lane = ReviewsLane()
    _many(lane, 40)
    lane.start()
    assert [len(ask.task.reviews) for ask in lane.asks] == [16, 16, 8]
    assert {ask.restaurant for ask in lane.asks} == {"1"}
    assert len({ask.name for ask in lane.asks}) == 3
    for ask in list(lane.asks):
        assert ask.task.claims == ()
        lane.answer(ask, positive=(1, 2))
    (reduce,) = lane.asks
    assert reduce.task.reviews == ()
    assert [claim.support for claim in reduce.task.claims] == [6]
    assert lane.commit() == []  # nothing of it is there before the whole is
    lane.answer(reduce, text="한 문단")
    lane.commit()
    (made,) = lane.summaries()
    assert made
    assert (made.overall_summary, made.review_count, made.version) == ("한 문단", 40, 1)
    assert [aspect.support_count for aspect in made.positive_aspects] == [6]
    assert lane.store.pending("1", 9) == []


def test_the_last_summary_goes_into_the_one_prompt_or_into_the_paragraph() -> None:
    """So that nothing it said is lost."""
    lane = ReviewsLane()
    _many(lane, 3)
    lane.summarise()
    _many(lane, 3, first=10)
    lane.start()
    assert [claim.support for claim in lane.asks[0].task.claims] == [1]
    lane.answer(lane.asks[0])
    lane.commit()
    _many(lane, 20, first=20)
    lane.summarise(positive=(1,))
    last = lane.summaries()[-1]
    assert last
    assert [aspect.support_count for aspect in last.positive_aspects] == [4]


def test_a_round_is_bounded_and_the_rest_follows_in_rounds() -> None:
    """Any number of new reviews takes so many prompts at a time."""
    lane = ReviewsLane()
    most = MAX_PROMPTS * MAX_REVIEWS
    _many(lane, most + 50)
    lane.start()
    assert len(lane.asks) == MAX_PROMPTS
    lane.summarise()
    assert len(lane.store.pending("1", 1000)) == 50
    lane.summarise()
    assert lane.store.pending("1", 1000) == []
    assert [made.review_count for made in lane.summaries() if made] == [most + 50] * 2


def test_a_prompt_holds_no_more_than_its_share_of_a_batch() -> None:
    """Long reviews go into more prompts."""
    lane = ReviewsLane()
    for number in range(6):
        lane.send(1, number, "good " + "x" * 1600)
    lane.commit()
    lane.start()
    assert [len(ask.task.reviews) for ask in lane.asks] == [2, 2, 2]


def test_one_restaurants_flood_does_not_hold_up_the_others() -> None:
    """Theirs are started while its rounds go on, and each is one turn among the batcher's."""
    lane = ReviewsLane()
    _many(lane, 1000)
    for restaurant in (2, 3):
        _many(lane, 3, restaurant)
    lane.start()
    assert Counter(ask.restaurant for ask in lane.asks) == {"1": MAX_PROMPTS, "2": 1, "3": 1}
    lane.answer(next(ask for ask in lane.asks if ask.restaurant == "3"))
    lane.commit()
    assert len(lane.summaries(3)) == 1


def test_a_review_that_goes_while_it_is_read_leaves_nothing_behind() -> None:
    """Neither a count nor a quote, though the answer cites it; an edited one waits for the next summary."""
    lane = ReviewsLane()
    _many(lane, 4)
    lane.start()
    lane.send(1, 0, None)
    lane.send(1, 1, "good other words")
    lane.commit()
    lane.answer(lane.asks[0], positive=(1, 2, 3))
    lane.commit()
    (made,) = lane.summaries()
    assert made
    (food,) = made.positive_aspects
    assert (food.support_count, made.review_count) == (1, 3)
    assert [evidence.review_id for evidence in food.evidence] == [2]
    assert [review.review_id for review in lane.store.pending("1", 9)] == [1]


def test_a_summary_that_says_nothing_new_is_not_published_again() -> None:
    """An edit changed nothing of it: its version stays, and the edit is not read again."""
    lane = ReviewsLane()
    _many(lane, 3)
    lane.summarise(positive=(), negative=())
    lane.send(1, 1, "good with more words")
    lane.commit()
    lane.now += 61
    lane.summarise(positive=(), negative=())
    assert [made.version for made in lane.summaries() if made] == [1]
    assert lane.store.pending("1", 9) == []
    lane.send(1, 2, "bad now")
    lane.commit()
    lane.now += 61
    lane.summarise(positive=(), negative=())
    assert [made.version for made in lane.summaries() if made] == [1, 2]


@pytest.mark.parametrize("cached", [(True, True, True), (False, True, True), (True, True, False)])
def test_a_summary_is_marked_as_cached_where_no_engine_was_asked_for_any_of_it(cached: tuple[bool, ...]) -> None:
    """Two portions and their paragraph; the mark alone is nothing new to publish."""
    lane = ReviewsLane()
    _many(lane, 20)
    lane.start()
    for its in cached:
        lane.answer(lane.asks[0], cached=its)
    lane.commit()
    lane.send(1, 1, "good with more words")
    lane.commit()
    lane.now += 61
    lane.start()
    while lane.asks:
        lane.answer(lane.asks[0], positive=(), cached=not all(cached))
    lane.commit()
    assert [made.provenance.cached for made in lane.summaries() if made and made.provenance] == [all(cached)]


def test_counts_are_corrected_though_no_other_summary_is_owed() -> None:
    """The one review that was new is deleted before it was read: nobody would write another summary."""
    lane = ReviewsLane()
    _many(lane, 3)
    lane.start()
    lane.send(1, 9, "good")
    lane.commit()
    lane.answer(lane.asks[0])
    lane.commit()
    lane.send(1, 9, None)
    lane.commit()
    assert [made.review_count for made in lane.summaries() if made] == [4, 3]
    assert lane.start() is None


def test_a_repeated_review_that_brings_a_group_moves_the_summary() -> None:
    """Though it changes nothing else."""
    lane = ReviewsLane()
    _many(lane, 3)
    lane.summarise()
    lane.send(1, 1, "good 1", comparison_group="g")
    lane.commit()
    assert [made.comparison_group for made in lane.summaries() if made] == [None, "g"]
    assert [(o.key, o.value is None) for o in lane.published[NAMES.by_group][1:]] == [
        (b'["","1"]', True),
        (b'["g","1"]', False),
    ]


def test_a_job_that_fails_is_tried_again_after_a_growing_pause_and_then_parked() -> None:
    """With a line in the log, a metric, and the reason in the restaurant's state; others go on."""
    lane = ReviewsLane()
    _many(lane, 3)
    due = []
    for _ in range(3):
        lane.start()
        lane.fail(lane.asks[0])
        lane.commit()
        due.append(lane.start())
        lane.now = due[-1] or lane.now
    assert due == [1010.0, 1030.0, None]
    state = lane.store.restaurant("1")
    assert state
    assert (state.failures, state.parked) == (3, "engine_error: out of order")
    whats = Counter(event.what for event in lane.told)
    assert (whats[What.JOB_FAILED], whats[What.JOB_PARKED]) == (3, 1)
    assert [event.count for event in lane.told if event.what is What.PARKED] == [1]
    _many(lane, 3, 2)
    lane.summarise()
    assert len(lane.summaries(2)) == 1


def test_a_parked_restaurants_next_review_starts_over() -> None:
    """With all of its attempts."""
    lane = ReviewsLane()
    lane.tuned(retry=RULES.retry.__class__(max_attempts=1, base=10, cap=100))
    _many(lane, 3)
    lane.start()
    lane.fail(lane.asks[0])
    lane.commit()
    assert lane.start() is None
    _many(lane, 1, first=7)
    state = lane.store.restaurant("1")
    assert state
    assert (state.failures, state.parked, state.pending) == (0, None, 4)
    lane.summarise()
    assert len(lane.summaries()) == 1
    assert [event.count for event in lane.told if event.what is What.PARKED] == [1, 0]


def test_failures_are_remembered_over_a_restart() -> None:
    """The parked one stays parked, and is counted by its next owner."""
    lane = ReviewsLane()
    _many(lane, 3)
    for _ in range(2):
        lane.start()
        lane.fail(lane.asks[0])
        lane.commit()
        lane.crash()
    lane.start()
    lane.fail(lane.asks[0])
    lane.commit()
    lane.crash()
    assert lane.start() is None
    assert [event.count for event in lane.told if event.what is What.PARKED] == [1, 1]


def test_one_portions_failure_is_the_rounds_and_is_waited_for() -> None:
    """Nothing is asked twice at once, nothing half is published, and all of it stays pending."""
    lane = ReviewsLane()
    _many(lane, 40)
    lane.start()
    first, second, third = lane.asks
    lane.fail(second)
    lane.answer(first)
    assert lane.commit() == []
    assert lane.start() is None
    lane.answer(third)
    lane.commit()
    assert lane.summaries() == []
    assert lane.start() == 1010.0
    lane.now = 1010.0
    lane.summarise()
    assert len(lane.summaries()) == 1


def test_a_job_whose_reviews_are_all_gone_leaves_nothing() -> None:
    """Not even its failure."""
    lane = ReviewsLane()
    _many(lane, 3)
    lane.start()
    for number in range(3):
        lane.send(1, number, None)
    lane.commit()
    lane.fail(lane.asks[0])
    lane.commit()
    state = lane.store.restaurant("1")
    assert state
    assert (state.failures, state.pending, state.pending_characters) == (0, 0, 0)
    assert lane.summaries() == []
