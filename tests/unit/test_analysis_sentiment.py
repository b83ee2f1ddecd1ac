"""From an engine's answer to a label, a probability, and a restaurant's percents."""

from math import inf, isclose, log, nan

import pytest

from consumer.analysis.answers import InvalidAnswer
from consumer.analysis.calibration import Calibration
from consumer.analysis.sentiment import Verdict, read_sentiment
from consumer.analysis.totals import ratios
from consumer.engines.contract import Answer
from schemas.base import Sentiment

POSITIVE, NEGATIVE, NEUTRAL = Sentiment


def test_the_most_probable_label_with_its_probability() -> None:
    """Of the labels given: a softmax makes their probabilities sum to 1."""
    verdict = read_sentiment(Answer(label_logprobs={POSITIVE: log(0.2), NEGATIVE: log(0.6)}))
    assert verdict.label is NEGATIVE
    assert verdict.score is not None
    assert isclose(verdict.score, 0.75)


def test_a_label_alone_has_no_score() -> None:
    """From an engine without log-probabilities."""
    assert read_sentiment(Answer(label=NEUTRAL)) == Verdict(NEUTRAL, None)


@pytest.mark.parametrize("order", [(POSITIVE, NEGATIVE, NEUTRAL), (NEUTRAL, NEGATIVE, POSITIVE)])
def test_a_tie_is_decided_the_same_way_each_time(order: tuple[Sentiment, ...]) -> None:
    """Whatever order the engine lists its labels in."""
    assert read_sentiment(Answer(label_logprobs=dict.fromkeys(order, -1.0))).label is POSITIVE


def test_an_impossible_label_is_no_fault() -> None:
    """Minus infinity for one, or all but one."""
    assert read_sentiment(Answer(label_logprobs={POSITIVE: -inf, NEGATIVE: -3.0})) == Verdict(NEGATIVE, 1.0)


@pytest.mark.parametrize("bad", [{POSITIVE: nan, NEGATIVE: 0.0}, {POSITIVE: inf}, {POSITIVE: -inf}, {}])
def test_numbers_that_say_nothing_are_worth_another_try(bad: dict[Sentiment, float]) -> None:
    """Never a guess."""
    with pytest.raises(InvalidAnswer) as caught:
        read_sentiment(Answer(label_logprobs=bad))
    assert caught.value.reason == "invalid_answer"


def test_slope_and_bias_are_of_the_log_odds() -> None:
    """Platt: 2 x (0.5 - -0.5) - 1 = 1."""
    found = Calibration(slope=2.0, bias=-1.0).apply({POSITIVE: 0.5, NEGATIVE: -0.5})
    assert isclose(log(found[POSITIVE] / found[NEGATIVE]), 1.0)


def test_the_margin_makes_the_middle_neutral() -> None:
    """And leaves three probabilities that sum to 1."""
    calibration = Calibration(neutral_margin=1.5)
    even = calibration.apply({POSITIVE: -1.0, NEGATIVE: -1.0})
    assert max(even, key=lambda label: even[label]) is NEUTRAL
    assert isclose(sum(even.values()), 1.0)
    assert read_sentiment(Answer(label_logprobs={POSITIVE: 0.0, NEGATIVE: -6.0}), calibration).label is POSITIVE


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((0, 0, 0), (0, 0, 0)),
        ((1, 1, 1), (34, 33, 33)),
        ((2, 1, 0), (67, 33, 0)),
        ((1, 0, 999), (0, 0, 100)),
        ((5, 0, 0), (100, 0, 0)),
        ((1, 1, 5), (14, 14, 72)),
    ],
)
def test_percents_go_to_the_largest_remainders(counts: tuple[int, int, int], expected: tuple[int, int, int]) -> None:
    """Equal remainders: positive, negative, neutral."""
    assert ratios(*counts) == expected
