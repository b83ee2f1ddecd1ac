"""Sentiment of a review by a linear model over hashed character n-grams. Pure and synchronous.

The log-odds of positive against negative are

    logit = slope x scale x (sum of the int8 weights of the text's known n-grams) / sqrt(count of its n-grams) + bias

and 0 where no n-gram is known: nothing was read, so nothing is said. Slope and bias come from a logistic regression on
held-out folds, so `logit` is that of a probability. Neutral is a band around 0: its own log-odds fall by `fading` with
each unit of |logit|, from the one level at which neutral is the likeliest label exactly where |logit| < `margin`.
"""

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from consumer.engines.local import features
from consumer.errors import ConfigError

LABELS = ("positive", "negative", "neutral")
NAME = "char-ngram-linear"
WEIGHTS_FILE = "weights.npz"
PROVENANCE_FILE = "weights.json"
_TEXTS_AT_ONCE = 64
"""Bounds the memory of one pass: 64 texts of the greatest length take about 30 MB."""

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


class Calibration(BaseModel):
    """How raw scores become probabilities, in natural log-odds; `tests/benchmarks/local_model/train.py` fits it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    slope: float = Field(gt=0)
    bias: float
    margin: float = Field(ge=0)
    """Below this |logit| the label is neutral."""
    fading: float = Field(ge=0)
    """How fast neutral's log-odds fall per unit of |logit|."""

    def logprobs(self, logits: Floats) -> Floats:
        """Natural log-probabilities, columns in the order of `LABELS`, for log-odds of positive against negative."""
        level = _log_sigmoid(self.margin) + self.fading * self.margin
        neutral = level - self.fading * np.abs(logits)
        polar = _log_sigmoid(-neutral)
        return np.stack([polar + _log_sigmoid(logits), polar + _log_sigmoid(-logits), _log_sigmoid(neutral)], axis=1)


class Provenance(BaseModel):
    """The part of `weights.json` that the program reads; the rest of the file is for people."""

    model_config = ConfigDict(frozen=True)

    version: str = Field(min_length=1, max_length=32)
    features: str
    sha256: str
    scale: float = Field(gt=0)
    calibration: Calibration


@dataclass(frozen=True, slots=True)
class Table:
    """Weights of the known n-grams: two arrays of one length."""

    keys: npt.NDArray[np.uint32]
    """Ascending, without repeats."""
    weights: npt.NDArray[np.int8]

    def sums(self, ngrams: features.Ngrams, texts: int) -> tuple[Floats, Counts]:
        """Sum of the known n-grams' weights for each of `texts`, and how many of its n-grams are known."""
        found = np.searchsorted(self.keys, ngrams.keys)
        found[found == self.keys.size] = 0
        known = self.keys[found] == ngrams.keys
        rows = ngrams.rows[known]
        sums = np.bincount(rows, self.weights[found[known]], texts)
        return np.asarray(sums, np.float64), np.bincount(rows, minlength=texts)


class SentimentModel:
    """Scores reviews. Immutable and safe to share between threads; about 1 MB in memory."""

    name = NAME

    def __init__(self, table: Table, provenance: Provenance, reader: features.NgramReader) -> None:
        """Take what `load` read."""
        self.version = provenance.version
        self._table = table
        self._factor = provenance.calibration.slope * provenance.scale
        self._calibration = provenance.calibration
        self._reader = reader

    @classmethod
    def load(cls) -> Self:
        """Read the weights that ship with this package, in about 30 ms. Raises ConfigError if they are damaged."""
        folder = resources.files(__package__)
        try:
            return cls.from_bytes((folder / PROVENANCE_FILE).read_bytes(), (folder / WEIGHTS_FILE).read_bytes())
        except OSError as error:
            raise ConfigError(
                f"the local engine's weights cannot be read: {error}; install the package anew"
            ) from error

    @classmethod
    def from_bytes(cls, provenance: bytes, weights: bytes) -> Self:
        """Build from the contents of both files. Raises ConfigError if they are damaged or do not belong together."""
        try:
            about = Provenance.model_validate_json(provenance)
        except ValidationError as error:
            raise ConfigError(f"{PROVENANCE_FILE} of the local engine is damaged: {error}") from error
        if hashlib.sha256(weights).hexdigest() != about.sha256:
            raise ConfigError(f"{WEIGHTS_FILE} of the local engine is not the file that {PROVENANCE_FILE} tells of")
        if about.features != features.VERSION:
            raise ConfigError(f"the weights were trained for features {about.features}, not {features.VERSION}")
        return cls(_read_table(weights), about, features.NgramReader())

    def label_logprobs(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """Natural log-probabilities of `positive`, `negative` and `neutral` for each text; each sum of exp is 1."""
        logprobs = self._calibration.logprobs(self.logits(texts))
        return [dict(zip(LABELS, row, strict=True)) for row in logprobs.tolist()]

    def logits(self, texts: Sequence[str]) -> Floats:
        """Calibrated log-odds of positive against negative, one a text; a text's does not depend on its neighbours."""
        parts = [self._pass(texts[at : at + _TEXTS_AT_ONCE]) for at in range(0, len(texts), _TEXTS_AT_ONCE)]
        return np.concatenate(parts) if parts else np.empty(0)

    def _pass(self, texts: Sequence[str]) -> Floats:
        ngrams = self._reader.read(texts)
        sums, known = self._table.sums(ngrams, len(texts))
        counts = np.maximum(np.bincount(ngrams.rows, minlength=len(texts)), 1)
        return np.where(known > 0, self._factor * sums / np.sqrt(counts) + self._calibration.bias, 0.0)


def _read_table(weights: bytes) -> Table:
    """Unpack the archive; nothing in it is ever unpickled."""
    try:
        with np.load(io.BytesIO(weights), allow_pickle=False) as archive:
            return Table(archive["keys"], archive["weights"])
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{WEIGHTS_FILE} of the local engine is damaged: {error}") from error


def _log_sigmoid(value: Floats | float) -> Floats:
    """Natural log of 1 / (1 + exp(-value)), exact for values of any size."""
    return np.asarray(-np.logaddexp(0.0, -value))
