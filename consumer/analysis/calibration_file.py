"""The file that keeps a calibration: which engine, model and prompt it is for, and what it was measured to do."""

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from consumer.analysis import prompts
from consumer.analysis.calibration import IDENTITY, Calibration
from consumer.analysis.metrics import Figures
from consumer.analysis.task import Kind
from consumer.errors import ConfigError
from schemas.base import Sentiment
from schemas.codec import encode_pretty

_MANY = 5


class Fit(BaseModel):
    """The figures of the held-out reviews, before and after."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    before: Figures
    after: Figures


class CalibrationFile(BaseModel):
    """The whole file. Its slope, bias and margin hold for one engine, model and prompt version only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal[1] = 1
    engine: str = Field(min_length=1)
    model: str = Field(min_length=1)
    prompt: str = Field(min_length=1)
    """Name and version, such as `sentiment/1`."""
    slope: float = Field(gt=0)
    bias: float
    neutral_margin: float = Field(ge=0)
    created_at: datetime
    seed: int
    fitted: dict[Sentiment, int]
    """Reviews by label that it was fitted to."""
    held_out: Fit

    @property
    def calibration(self) -> Calibration:
        """What the answers go through."""
        return Calibration(self.slope, self.bias, self.neutral_margin)


def load(path: Path | None, engine: str, model: str) -> Calibration:
    """The calibration of CALIBRATION_FILE; the identity where none is set.

    Raises ConfigError where the file cannot be read, is none, or was made for another engine, model or prompt.
    """
    if path is None:
        return IDENTITY
    found = _read(path)
    wanted = {"engine": engine, "model": model, "prompt": prompts.prompt_id(Kind.SENTIMENT)}
    other = [
        f"{name} {getattr(found, name)!r}, and this is {its!r}"
        for name, its in wanted.items()
        if getattr(found, name) != its
    ]
    if other:
        raise ConfigError(
            f"CALIBRATION_FILE={path} was made for {'; '.join(other)}: "
            "make one for this set-up with `review-consumer calibrate`, or unset it"
        )
    return found.calibration


def save(path: Path, made: CalibrationFile) -> None:
    """Write the file in place of what was there. Raises ConfigError where it cannot be written."""
    try:
        path.write_bytes(encode_pretty(made.model_dump(mode="json")))
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from None


def _read(path: Path) -> CalibrationFile:
    try:
        return CalibrationFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"CALIBRATION_FILE={path} cannot be read: {error.strerror or error}") from None
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)[:_MANY]
        said = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in found)
        raise ConfigError(
            f"CALIBRATION_FILE={path} is no calibration ({said}); `review-consumer calibrate` writes one"
        ) from None
