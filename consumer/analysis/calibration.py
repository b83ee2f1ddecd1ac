"""From a model's log-probabilities of the labels to probabilities that mean what they say."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, inf

from schemas.base import Sentiment


@dataclass(frozen=True, slots=True)
class Calibration:
    """Platt's scaling of the log-odds of positive against negative; the identity by default.

    With a neutral margin (log-odds, at least 0) the labels are ordered, as in a proportional odds model: neutral is
    what lies within the margin on either side of even, and a log-probability of neutral itself is not used; with a
    margin of 0 nothing is neutral. Without one (None) the engine's own neutral stands. The slope is above 0.
    """

    slope: float = 1.0
    bias: float = 0.0
    neutral_margin: float | None = None

    def apply(self, logprobs: Mapping[Sentiment, float]) -> dict[Sentiment, float]:
        """Probabilities of the given labels, summing to 1; with a margin, of all three. At least one is finite."""
        scaled = {label: self.slope * value for label, value in logprobs.items()}
        if Sentiment.POSITIVE in scaled:
            scaled[Sentiment.POSITIVE] += self.bias
        positive, negative = scaled.get(Sentiment.POSITIVE), scaled.get(Sentiment.NEGATIVE)
        if self.neutral_margin is None or positive is None or negative is None or max(positive, negative) == -inf:
            return _softmax(scaled)
        return _ordered(positive - negative, self.neutral_margin)


IDENTITY = Calibration()


def _ordered(log_odds: float, margin: float) -> dict[Sentiment, float]:
    positive, negative = _sigmoid(log_odds - margin), _sigmoid(-log_odds - margin)
    return {
        Sentiment.POSITIVE: positive,
        Sentiment.NEGATIVE: negative,
        Sentiment.NEUTRAL: max(0.0, 1.0 - positive - negative) if margin else 0.0,
    }


def _softmax(values: Mapping[Sentiment, float]) -> dict[Sentiment, float]:
    top = max(values.values())
    weights = {label: exp(value - top) for label, value in values.items()}
    total = sum(weights.values())
    return {label: weight / total for label, weight in weights.items()}


def _sigmoid(value: float) -> float:
    return 1 / (1 + exp(-value)) if value >= 0 else exp(value) / (1 + exp(value))
