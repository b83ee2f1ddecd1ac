"""Metrics and fits against scikit-learn's, and what always holds of the split and the margin."""

from collections.abc import Sequence
from math import inf

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score

from consumer.analysis.calibration import Calibration
from consumer.analysis.fitting import logistic, margin_of, split
from consumer.analysis.metrics import LABELS, auc, calibration_error, confusion, macro_f1
from consumer.analysis.sentiment import read_sentiment
from consumer.analysis.text import normal
from consumer.engines.contract import Answer
from schemas.base import Sentiment

PLACES = st.integers(0, len(LABELS) - 1)
SCORED = st.lists(st.tuples(st.integers(-8, 8), st.booleans()), min_size=2, max_size=60)
"""Few different scores: ties are frequent."""
REVIEWS = st.lists(
    st.tuples(st.text(alphabet="맛이 좋!ABa.", max_size=5), st.sampled_from(Sentiment)), min_size=1, max_size=60
)


@settings(deadline=None)
@given(st.lists(st.tuples(PLACES, PLACES), min_size=1, max_size=60))
def test_macro_f1_is_that_of_scikit_learn(pairs: Sequence[tuple[int, int]]) -> None:
    """Over the labels that occur among the true ones."""
    truth, said = zip(*pairs, strict=True)
    expected = f1_score(truth, said, labels=sorted(set(truth)), average="macro", zero_division=0)
    assert macro_f1(confusion(truth, said)) == pytest.approx(expected)


@settings(deadline=None)
@given(SCORED)
def test_auc_is_that_of_scikit_learn(scored: Sequence[tuple[int, bool]]) -> None:
    """Ties count half; one class alone has none."""
    scores, positive = [float(score) for score, _ in scored], [is_positive for _, is_positive in scored]
    if len(set(positive)) < 2:
        assert auc(scores, positive) is None
    else:
        assert auc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))


@given(SCORED)
def test_auc_does_not_care_for_the_scale(scored: Sequence[tuple[int, bool]]) -> None:
    """So a calibration cannot change it; infinite scores rank last and first."""
    scores, positive = [float(score) for score, _ in scored], [is_positive for _, is_positive in scored]
    ends = [-inf if score == min(scores) else inf if score == max(scores) else score for score in scores]
    assert auc([score * 3 + 1 for score in scores], positive) == auc(scores, positive) == auc(ends, positive)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_the_calibration_error_is_a_fraction(scored: Sequence[tuple[float, bool]]) -> None:
    """And at least the difference of the two means."""
    scores, right = [score for score, _ in scored], [is_right for _, is_right in scored]
    found = calibration_error(scores, right)
    assert found is not None
    assert abs(np.mean(scores) - np.mean(right)) - 1e-9 <= found <= 1


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.2, 5), st.floats(-4, 4), st.floats(-20, 20), st.floats(0.01, 100))
def test_the_fit_is_that_of_scikit_learn(seed: int, slope: float, bias: float, centre: float, spread: float) -> None:
    """Without regularisation, whatever the scale of the values; labels drawn from the very model."""
    draw = np.random.default_rng(seed)
    plain = draw.normal(size=400)
    positive = draw.random(400) < 1 / (1 + np.exp(-(slope * plain + bias)))
    assume(10 <= positive.sum() <= 390)
    model = LogisticRegression(C=1e6, tol=1e-8, max_iter=1000).fit(plain[:, None], positive)
    found_slope, found_bias = logistic(centre + spread * plain, positive)
    assert found_slope * spread == pytest.approx(model.coef_[0, 0], rel=1e-2, abs=1e-3)
    assert found_bias + found_slope * centre == pytest.approx(model.intercept_[0], rel=1e-2, abs=1e-2)


@given(st.integers(1, 50), st.integers(1, 50), st.floats(0.001, 1000), st.floats(-1000, 1000))
def test_separable_values_give_a_finite_slope(downs: int, ups: int, gap: float, start: float) -> None:
    """That puts each on its side."""
    values = start + gap * np.arange(-downs, ups, dtype=np.float64)
    positive = np.arange(-downs, ups) >= 0
    slope, bias = logistic(values, positive)
    assert np.isfinite([slope, bias]).all()
    assert slope > 0
    assert ((slope * values + bias > 0) == positive).all()


@given(st.floats(-5, 5), st.integers(1, 30), st.integers(1, 30))
def test_values_that_tell_nothing_give_no_slope(value: float, ups: int, downs: int) -> None:
    """And the bias is the share of positives."""
    slope, bias = logistic(np.full(ups + downs, value), np.arange(ups + downs) < ups)
    assert slope == 0
    assert bias == pytest.approx(np.log(ups / downs), abs=1e-6)


@given(st.floats(0, 20), st.floats(-25, 25))
def test_the_margin_of_a_band_makes_just_this_band_neutral(band: float, odds: float) -> None:
    """The closed form against the labels that the service gives."""
    assume(abs(abs(odds) - band) > 1e-6)
    answer = Answer(label_logprobs={Sentiment.POSITIVE: odds, Sentiment.NEGATIVE: 0.0})
    label = read_sentiment(answer, Calibration(neutral_margin=margin_of(band))).label
    assert (label is Sentiment.NEUTRAL) == (abs(odds) < band)


@given(REVIEWS, st.integers(0, 99), st.floats(0.1, 0.9))
def test_the_split_keeps_copies_together_and_labels_apart(
    reviews: list[tuple[str, Sentiment]], seed: int, share: float
) -> None:
    """Every review on one side; copies on the same; each label's share held out, to the nearest review."""
    texts, labels = [text for text, _ in reviews], [label for _, label in reviews]
    fitted, held = split(texts, labels, seed, share)
    assert sorted([*fitted, *held]) == list(range(len(reviews)))
    assert not {normal(texts[at]) or texts[at] for at in fitted} & {normal(texts[at]) or texts[at] for at in held}
    first = {normal(text) or text: label for text, label in reversed(reviews)}
    held_keys = {normal(texts[at]) or texts[at] for at in held}
    for label in Sentiment:
        keys = {key for key, its in first.items() if its is label}
        assert len(keys & held_keys) == round(share * len(keys))


@given(st.permutations([(f"리뷰 {n}", list(Sentiment)[n % 3]) for n in range(30)]), st.integers(0, 99))
def test_the_split_does_not_depend_on_the_order(reviews: list[tuple[str, Sentiment]], seed: int) -> None:
    """Only on the texts and the seed."""
    texts, labels = [text for text, _ in reviews], [label for _, label in reviews]
    _, held = split(texts, labels, seed, 0.5)
    ordered = sorted(reviews)
    _, expected = split([text for text, _ in ordered], [label for _, label in ordered], seed, 0.5)
    assert {texts[at] for at in held} == {ordered[at][0] for at in expected}
