"""An engine's answer beside the truth."""

from dataclasses import dataclass

from consumer.analysis.answers import InvalidAnswer
from consumer.analysis.calibration import Calibration
from consumer.analysis.sentiment import Labelled, log_odds, read_sentiment, read_sign
from schemas.base import Sentiment


@dataclass(frozen=True, slots=True)
class Judged:
    """One valid answer beside the truth."""

    truth: Sentiment
    said: Sentiment
    score: float | None
    """Probability of `said`, 0 to 1; None where the engine gives none."""
    log_odds: float | None
    """The engine's own, of positive against negative, in natural logarithms; None where it gives none."""


def judge(answer: Labelled, truth: Sentiment, calibration: Calibration, *, by_sign: bool) -> Judged | None:
    """Read an answer as the service does, or by its sign alone; None where it cannot be read."""
    read = read_sign if by_sign else read_sentiment
    try:
        verdict = read(answer, calibration)
        return Judged(truth, verdict.label, verdict.score, log_odds(answer))
    except InvalidAnswer:
        return None
