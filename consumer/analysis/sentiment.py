"""From an engine's answer to the label of a review."""

from collections.abc import Mapping
from math import inf, isfinite, isnan
from typing import Protocol

from consumer.analysis.answers import InvalidAnswer
from consumer.analysis.calibration import IDENTITY, Calibration
from consumer.values import value
from schemas.base import Sentiment

_LABELS = tuple(Sentiment)
_POLAR = (Sentiment.POSITIVE, Sentiment.NEGATIVE)


class Labelled(Protocol):
    """What is read of an engine's answer."""

    @property
    def label_logprobs(self) -> Mapping[Sentiment, float] | None:
        """Natural logarithms, of the labels that the engine knows."""

    @property
    def label(self) -> Sentiment | None:
        """The label alone, from an engine that gives no log-probabilities."""


@value
class Verdict:
    """A review's label and its probability; None where the engine gives none."""

    label: Sentiment
    score: float | None


def read_sentiment(answer: Labelled, calibration: Calibration = IDENTITY) -> Verdict:
    """The most probable label; equal ones: positive, negative, neutral in this order. Raises InvalidAnswer."""
    if answer.label_logprobs:
        probabilities = calibration.apply(_checked(answer.label_logprobs))
        label = max(_LABELS, key=lambda label: probabilities.get(label, -1.0))
        return Verdict(label, min(1.0, max(0.0, probabilities[label])))
    if answer.label is not None:
        return Verdict(answer.label, None)
    raise InvalidAnswer("the engine gave neither log-probabilities nor a label")


def read_sign(answer: Labelled, calibration: Calibration = IDENTITY) -> Verdict:
    """The larger of positive and negative, with its probability against the other alone; equal: positive.

    For reviews that are known to be of one polarity. A label alone stays what it is. Raises InvalidAnswer.
    """
    given = answer.label_logprobs or {}
    polar: dict[Sentiment, float] = {label: given[label] for label in _POLAR if label in given}
    if not polar or all(value == -inf for value in polar.values()):
        return read_sentiment(answer, calibration)
    probabilities = calibration.apply(_checked(polar))
    label = max(_POLAR, key=lambda label: probabilities.get(label, -1.0))
    return Verdict(label, probabilities[label] / sum(probabilities.get(label, 0.0) for label in _POLAR))


def log_odds(answer: Labelled) -> float | None:
    """Natural log-odds of positive against negative before any calibration; None where the engine gives none.

    Infinite where one of the two is impossible. Raises InvalidAnswer.
    """
    found = _checked(answer.label_logprobs) if answer.label_logprobs else {}
    positive, negative = found.get(Sentiment.POSITIVE), found.get(Sentiment.NEGATIVE)
    if positive is None or negative is None or positive == negative == -inf:
        return None
    return positive - negative


def _checked(logprobs: Mapping[Sentiment, float]) -> Mapping[Sentiment, float]:
    """Minus infinity is a fair answer for some labels, not for all; NaN and plus infinity for none."""
    values = logprobs.values()
    if values and all(map(isfinite, values)):
        return logprobs
    if any(isnan(value) or value == inf for value in values) or all(value == -inf for value in values):
        raise InvalidAnswer("the log-probabilities are not finite")
    return logprobs
