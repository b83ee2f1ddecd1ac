"""The fits behind the local model's weights: the linear model, its calibration, and the neutral margin."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression

from consumer.engines.local.features import NgramReader
from consumer.engines.local.sentiment import Calibration
from tests.benchmarks.local_model.data import NEGATIVE, NEUTRAL, POSITIVE, Row

FOLDS = 5
RARITY_POWER = 2
"""An n-gram's value is its inverse document frequency to this power: it is folded into the weight."""
PHRASE_WEIGHT = 2.0
NEUTRAL_PHRASE_WEIGHT = 10.0
"""Times as much again for the neutral ones: the corpora hold next to none, and a few must reach the narrow band."""
UNTOKENISED_WEIGHT = 0.5
TARGETS = ("m_absa/restaurant/ko", "m_absa/restaurant/en", "nsmc")
"""The sources whose held-out folds decide the settings, each with the same say."""
MARGIN_COST = 0.015
"""The mean accuracy on held-out polar rows of `TARGETS` that the neutral margin may cost at most."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Design:
    """Training rows as numbers."""

    keys: npt.NDArray[np.uint32]
    values: Floats
    """What one occurrence of each key is worth; goes into the final weight."""
    matrix: sp.csr_matrix
    """Rows x keys: occurrences x value / sqrt(the row's n-grams)."""
    labels: Ints
    sources: npt.NDArray[np.str_]
    folds: Ints
    """-1: in the training part of every fold."""


def design(rows: Sequence[Row]) -> Design:
    """Read the rows' n-grams. Kept are those that two groups share, and those of the hand-written phrases."""
    ngrams = NgramReader().read([row.text for row in rows])
    keys, columns = np.unique(ngrams.keys, return_inverse=True)
    counts = sp.csr_matrix((np.ones(columns.size), (ngrams.rows, columns)), shape=(len(rows), keys.size))
    sources = np.array([row.source for row in rows])
    shared = _groups_with(rows, ngrams.rows, columns, keys.size)
    kept = shared >= 2
    kept[counts[sources == "phrases"].indices] = True
    values = ((np.log((1 + len(rows)) / (1 + shared[kept])) + 1) / 7) ** RARITY_POWER
    lengths = np.maximum(np.bincount(ngrams.rows, minlength=len(rows)), 1)
    matrix = (sp.diags(1 / np.sqrt(lengths)) @ counts[:, kept] @ sp.diags(values)).tocsr()
    folds = [-1 if row.source == "phrases" else zlib.crc32(row.group.encode()) % FOLDS for row in rows]
    return Design(keys[kept], values, matrix, np.array([row.label for row in rows]), sources, np.array(folds))


def fit(data: Design, chosen: Mask, strength: float) -> Floats:
    """Weights per column from the chosen rows: L2-regularised logistic regression through the origin.

    A neutral row counts once as positive and once as negative, at half its weight: it pulls its words towards 0.
    """
    weights = _row_weights(data)
    neutral = chosen & (data.labels == NEUTRAL)
    matrix = sp.vstack([data.matrix[chosen], data.matrix[neutral]])
    positive = np.concatenate([data.labels[chosen] != NEGATIVE, np.zeros(neutral.sum(), np.bool_)])
    model = LogisticRegression(C=strength, max_iter=500, solver="liblinear", fit_intercept=False, random_state=0)
    model.fit(matrix, positive, sample_weight=np.concatenate([weights[chosen], weights[neutral]]))
    return np.asarray(model.coef_[0], np.float64)


def out_of_fold(data: Design, strength: float) -> Floats:
    """Score of each row by the model that has not seen its fold; NaN for rows without one."""
    scores = np.full(data.labels.size, np.nan)
    for fold in range(FOLDS):
        scores[data.folds == fold] = data.matrix[data.folds == fold] @ fit(data, data.folds != fold, strength)
    return scores


def accuracies(data: Design, logits: Floats, margin: float = 0.0) -> list[float]:
    """Share of right answers on the polar rows of each of `TARGETS`; a neutral answer is wrong."""
    right = np.where(data.labels == POSITIVE, logits >= margin, logits <= -margin)
    return [float(right[_polar(data, source)].mean()) for source in TARGETS]


def calibrate(data: Design, scores: Floats) -> Calibration:
    """Slope and bias by logistic regression on held-out scores, then the margin, then how fast neutral fades."""
    slope, bias = _slope_and_bias(data, scores)
    logits = slope * scores + bias
    margin = _widest_margin(data, logits)
    return Calibration(slope=slope, bias=bias, margin=margin, fading=_fading(data, logits, margin))


def _groups_with(rows: Sequence[Row], owners: Ints, columns: Ints, width: int) -> Ints:
    """How many groups each column occurs in."""
    numbers: dict[str, int] = {}
    groups = np.array([numbers.setdefault(row.group, len(numbers)) for row in rows])
    pairs = np.unique(groups[owners] * np.int64(width) + columns)
    return np.bincount(pairs % width, minlength=width)


def _row_weights(data: Design) -> Floats:
    """Both polarities of a source weigh the same; its total is the number of its polar rows, neutral ones added."""
    weights = np.ones(data.labels.size)
    for source in np.unique(data.sources):
        mine = data.sources == source
        polar = mine & (data.labels != NEUTRAL)
        for label in (POSITIVE, NEGATIVE):
            rows = mine & (data.labels == label)
            weights[rows] = polar.sum() / (2 * rows.sum())
        weights[mine] *= _source_weight(str(source))
    weights[data.labels == NEUTRAL] /= 2
    weights[(data.labels == NEUTRAL) & (data.sources == "phrases")] *= NEUTRAL_PHRASE_WEIGHT
    return weights


def _source_weight(source: str) -> float:
    if source == "phrases":
        return PHRASE_WEIGHT
    return UNTOKENISED_WEIGHT if source.endswith("/untokenised") else 1.0


def _polar(data: Design, source: str) -> Mask:
    return np.asarray((data.sources == source) & (data.labels != NEUTRAL), np.bool_)


def _slope_and_bias(data: Design, scores: Floats) -> tuple[float, float]:
    """Each target source has the same say."""
    rows = np.any(np.stack([_polar(data, source) for source in TARGETS]), axis=0)
    sizes = {source: int(_polar(data, source).sum()) for source in TARGETS}
    weights = [1000 / sizes[source] for source in data.sources[rows]]
    model = LogisticRegression(C=1e6).fit(scores[rows, None], data.labels[rows] == POSITIVE, sample_weight=weights)
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def _widest_margin(data: Design, logits: Floats) -> float:
    """The widest band, in steps of 0.01, that costs no more than `MARGIN_COST`."""
    free = np.mean(accuracies(data, logits))
    margin = 0.0
    while free - np.mean(accuracies(data, logits, margin + 0.01)) <= MARGIN_COST:
        margin = round(margin + 0.01, 2)
    return margin


def _fading(data: Design, logits: Floats, margin: float) -> float:
    """Likeliest fading, in steps of 0.05, given restaurant sentences with their natural share of neutral ones."""
    rows = np.isin(data.sources, TARGETS[:2])
    neutral = data.labels[rows] == NEUTRAL

    def loss(fading: float) -> float:
        shape = Calibration(slope=1, bias=0, margin=margin, fading=fading)
        said = np.exp(shape.logprobs(logits[rows])[:, 2])
        return float(-np.log(np.where(neutral, said, 1 - said)).mean())

    return float(min(np.arange(0, 5, 0.05), key=loss).round(2))
