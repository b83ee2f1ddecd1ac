"""Fits a calibration to labelled answers: a split, slope and bias, and a neutral margin where it helps. Pure."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from consumer.analysis.calibration import Calibration
from consumer.analysis.judging import Judged
from consumer.analysis.metrics import LABELS, confusion, macro_f1
from consumer.analysis.text import normal
from consumer.errors import ConfigError
from schemas.base import Sentiment

MIN_PER_LABEL = 10
"""Reviews of a label that each part must hold, for the label to be fitted to."""

RIDGE = 1e-3
"""On the slope of standardised log-odds: nothing beside real data, and an end to the slope of separable ones."""

LARGEST_LOG_ODDS = 50.0
"""Where an engine calls one of the two labels impossible."""

_NEWTON_STEPS, _HALVINGS, _TOLERANCE = 100, 30, 1e-10
_ROUNDING = 1e-9
"""Relative spread of values that are all alike, but for their mean's rounding."""
_BANDS = np.linspace(0.01, 0.9, 90)
"""Quantiles of the distance from even at which a neutral band may end."""

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def split(texts: Sequence[str], labels: Sequence[Sentiment], seed: int, held_out: float) -> tuple[list[int], list[int]]:
    """Places of the fitted and of the held-out reviews: `held_out` is the second part's share of each label.

    By a hash of the text in normal form: the same texts fall the same way in any order, and copies of one text (which
    count as the label of the first) are never on both sides.
    """
    first = {key: labels[at] for at, key in reversed([*enumerate(map(_key, texts))])}
    held: set[str] = set()
    for label in LABELS:
        keys = sorted((k for k, its in first.items() if its is label), key=lambda k: _draw(seed, k))
        held.update(keys[: round(held_out * len(keys))])
    sides = [_key(text) in held for text in texts]
    return [at for at, is_held in enumerate(sides) if not is_held], [at for at, is_held in enumerate(sides) if is_held]


def require_enough(labels: Collection[Sentiment]) -> None:
    """Raise ConfigError where a part of the file holds too few positive or negative reviews to be fitted to."""
    for label in (Sentiment.POSITIVE, Sentiment.NEGATIVE):
        count = sum(its is label for its in labels)
        if count < MIN_PER_LABEL:
            raise ConfigError(
                f"only {count} {label} reviews in one part of the file; each part, the fitted and the held-out one, "
                f"needs at least {MIN_PER_LABEL} positive and {MIN_PER_LABEL} negative ones"
            )


def fit(judged: Sequence[Judged]) -> Calibration:
    """Slope and bias from the positive and negative reviews whose answers have log-odds, and no neutral.

    Raises ConfigError where there is nothing to fit: too few of a label, or answers that do not rise with the truth.
    """
    polar = [j for j in judged if j.truth is not Sentiment.NEUTRAL and j.log_odds is not None]
    if judged and not polar:
        raise ConfigError("this engine gives no log-probabilities of positive and negative: nothing can be calibrated")
    require_enough([j.truth for j in polar])
    slope, bias = logistic(_odds(polar), np.array([j.truth is Sentiment.POSITIVE for j in polar]))
    if slope <= 0:
        raise ConfigError(
            f"the fitted slope is {slope:.3g}, and must be above 0: this model's log-odds do not rise from negative "
            "to positive reviews; check the labels of the file, or take another model"
        )
    return Calibration(slope, bias, 0.0)


def with_margin(plain: Calibration, judged: Sequence[Judged]) -> Calibration | None:
    """The same with the neutral margin that gives these the best macro-F1; None with too few neutral ones."""
    ranked = [j for j in judged if j.log_odds is not None]
    truth = np.array([LABELS.index(j.truth) for j in ranked])
    if int((truth == LABELS.index(Sentiment.NEUTRAL)).sum()) < MIN_PER_LABEL:
        return None
    odds = plain.slope * _odds(ranked) + plain.bias
    bands: list[float] = np.quantile(np.abs(odds), _BANDS).tolist()
    best = max(bands, key=lambda band: macro_f1(confusion(truth, _labels(odds, band))) or 0.0)
    return replace(plain, neutral_margin=margin_of(best))


def margin_of(band: float) -> float:
    """The margin with which neutral is the likeliest label exactly where |log-odds| < `band` (at least 0).

    With v = exp(margin), neutral beats the nearer of the others where exp(|log-odds|) < v - 2 / v.
    """
    return band + float(np.log((1 + np.sqrt(1 + 8 * np.exp(-2 * band))) / 2))


def logistic(values: Floats, positive: Bools) -> tuple[float, float]:
    """Slope and bias of the likeliest log-odds = slope x value + bias, by Newton's method with step halving.

    Minimises the negative log-likelihood plus RIDGE / 2 x slope^2, on standardised values: convex, so it converges,
    and the slope stays finite where a threshold separates the classes. Values that are all alike give a slope of 0.
    """
    centre, spread = float(values.mean()), float(values.std())
    if spread <= _ROUNDING * max(1.0, abs(centre)):
        spread = 0.0
    design = np.stack([(values - centre) / spread if spread else 0 * values, np.ones_like(values)], axis=1)
    ridge = np.diag([RIDGE, 0.0])
    weights = np.zeros(2)
    for _ in range(_NEWTON_STEPS):
        said = _sigmoid(design @ weights)
        gradient = design.T @ (said - positive) + ridge @ weights
        hessian = (design * (said * (1 - said))[:, None]).T @ design + ridge
        step: Floats = np.linalg.lstsq(hessian, gradient, rcond=None)[0].astype(np.float64)
        weights, moved = _descended(design, positive, weights, step)
        if moved < _TOLERANCE:
            break
    slope = float(weights[0]) / spread if spread else 0.0
    return slope, float(weights[1]) - slope * centre


def _descended(design: Floats, positive: Bools, weights: Floats, step: Floats) -> tuple[Floats, float]:
    """The weights after the longest of the halved steps that lowers the loss, and by how much it did."""
    before = _loss(design, positive, weights)
    for halving in range(_HALVINGS):
        after = weights - step / 2**halving
        if (gain := before - _loss(design, positive, after)) > 0:
            return after, gain
    return weights, 0.0


def _loss(design: Floats, positive: Bools, weights: Floats) -> float:
    odds = design @ weights
    return float(np.logaddexp(0.0, np.where(positive, -odds, odds)).sum() + RIDGE / 2 * weights[0] ** 2)


def _sigmoid(odds: Floats) -> Floats:
    return np.exp(-np.logaddexp(0.0, -odds))


def _labels(odds: Floats, band: float) -> npt.NDArray[np.int64]:
    positive, negative, neutral = map(LABELS.index, (Sentiment.POSITIVE, Sentiment.NEGATIVE, Sentiment.NEUTRAL))
    return np.where(np.abs(odds) < band, neutral, np.where(odds >= 0, positive, negative))


def _odds(judged: Sequence[Judged]) -> Floats:
    return np.clip(np.array([j.log_odds for j in judged], np.float64), -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)


def _key(text: str) -> str:
    return normal(text) or text


def _draw(seed: int, key: str) -> bytes:
    return hashlib.sha256(f"{seed}/{key}".encode("utf-8", "surrogatepass")).digest()
