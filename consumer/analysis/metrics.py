"""How good labels and their probabilities are, given the true ones. Pure."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from consumer.analysis.judging import Judged
from schemas.base import Sentiment

BINS = 10
"""Of equal width, for the calibration error."""

LABELS = tuple(Sentiment)

Confusion = npt.NDArray[np.int64]
"""Counts: rows are the true labels, columns what was said, both in the order of LABELS."""


class Figures(BaseModel):
    """What was measured; None where there is nothing to measure it on. All but the counts are fractions 0 to 1."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    reviews: int
    valid: int
    """Answers that could be read; the other figures are of these."""
    accuracy: float | None
    macro_f1: float | None
    """Mean F1 of the labels that occur among the true ones."""
    auc: float | None
    """Probability that a positive review gets higher log-odds than a negative one."""
    calibration_error: float | None
    confusion: dict[Sentiment, dict[Sentiment, int]]
    """By true label, then by what was said."""


def figures(judged: Sequence[Judged], reviews: int) -> Figures:
    """The figures of the valid answers among so many reviews."""
    counts = confusion([LABELS.index(j.truth) for j in judged], [LABELS.index(j.said) for j in judged])
    scored = [(j.score, j.said is j.truth) for j in judged if j.score is not None]
    ranked = [(j.log_odds, j.truth) for j in judged if j.log_odds is not None and j.truth is not Sentiment.NEUTRAL]
    return Figures(
        reviews=reviews,
        valid=len(judged),
        accuracy=float(np.trace(counts) / len(judged)) if judged else None,
        macro_f1=macro_f1(counts),
        auc=auc([odds for odds, _ in ranked], [truth is Sentiment.POSITIVE for _, truth in ranked]),
        calibration_error=calibration_error([score for score, _ in scored], [right for _, right in scored]),
        confusion={
            truth: dict(zip(LABELS, map(int, row), strict=True)) for truth, row in zip(LABELS, counts, strict=True)
        },
    )


def confusion(truth: npt.ArrayLike, said: npt.ArrayLike) -> Confusion:
    """Count pairs of labels, given as places in LABELS."""
    size = len(LABELS)
    places = np.asarray(truth, np.int64) * size + np.asarray(said, np.int64)
    return np.bincount(places, minlength=size * size).reshape(size, size)


def macro_f1(counts: Confusion) -> float | None:
    """Mean of the labels' F1 over those that occur among the true ones; None where none does."""
    right, true, said = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    occurs = true > 0
    return float((2 * right[occurs] / (true[occurs] + said[occurs])).mean()) if occurs.any() else None


def auc(scores: Sequence[float], positive: Sequence[bool]) -> float | None:
    """Area under the ROC curve as the Mann-Whitney statistic, ties counting half; None without both classes.

    Hanley and McNeil, Radiology 143 (1982).
    """
    values, chosen = np.asarray(scores, np.float64), np.asarray(positive, np.bool_)
    ups, downs = int(chosen.sum()), int((~chosen).sum())
    if not ups or not downs:
        return None
    _, places, sizes = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(sizes) - (sizes - 1) / 2)[places]
    return float((ranks[chosen].sum() - ups * (ups + 1) / 2) / (ups * downs))


def calibration_error(scores: Sequence[float], right: Sequence[bool]) -> float | None:
    """Expected difference between the probability of what was said and how often it is right; None without scores.

    Over BINS bins of equal width, weighted by their size: Guo et al., On Calibration of Modern Neural Networks, 2017.
    """
    if not len(scores):
        return None
    said, true = np.asarray(scores, np.float64), np.asarray(right, np.float64)
    bins = np.minimum((said * BINS).astype(np.int64), BINS - 1)
    gaps = np.bincount(bins, weights=said - true, minlength=BINS)
    return float(np.abs(gaps).sum() / said.size)
