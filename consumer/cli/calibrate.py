"""`review-consumer calibrate FILE`: makes the chosen model's log-probabilities mean what they say."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from consumer import settings as _settings
from consumer.analysis import fitting, prompts
from consumer.analysis.calibration import IDENTITY, Calibration
from consumer.analysis.calibration_file import CalibrationFile, Fit, save
from consumer.analysis.judging import Judged
from consumer.analysis.labelled import LabelledReview, read_labelled
from consumer.analysis.metrics import Figures, figures
from consumer.analysis.task import Kind
from consumer.cli.measuring import (
    EXIT_FAILED,
    File,
    Form,
    ask_engine,
    chosen_engine,
    console,
    has_neutral,
    judge_all,
    read_file,
    sentiment_tasks,
    shown,
)
from consumer.engines.contract import Engine
from consumer.errors import ConfigError
from consumer.pipeline.asking import Outcome
from schemas.base import Sentiment

DEFAULT_OUT = Path("calibration.json")


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the file's reviews and their answers."""

    reviews: Sequence[LabelledReview]
    outcomes: Sequence[Outcome]
    by_sign: bool
    """How the figures judge: by the larger of positive and negative, or by the label that the service would give."""

    def judged(self, calibration: Calibration, *, by_sign: bool) -> list[Judged]:
        """The valid answers under a calibration."""
        return [j for j in judge_all(self.outcomes, self.reviews, calibration, by_sign=by_sign).judged if j]

    def figures(self, calibration: Calibration) -> Figures:
        """How good they are under a calibration."""
        return figures(self.judged(calibration, by_sign=self.by_sign), len(self.reviews))


def calibrate(
    file: File,
    out: Annotated[Path, typer.Option(dir_okay=False, help="The file to write, for CALIBRATION_FILE.")] = DEFAULT_OUT,
    held_out: Annotated[float, typer.Option(min=0.1, max=0.9, help="Share that is measured on, not fitted to.")] = 0.5,
    seed: Annotated[int, typer.Option(help="Another seed, another split.")] = 0,
    form: Form = None,
) -> None:
    """Fit slope and bias to labelled reviews, and measure before and after on the rest. Status 1 if a line was bad.

    Each line: `content` and one of `label` (positive, negative, neutral), `is_recommended` (true, false), `rating`
    (1 to 5: up to 2 negative, from 4 positive, between them neutral). The engine is the one that `run` would take.
    """
    settings = _settings.load()
    if not out.parent.is_dir():
        raise ConfigError(f"--out {out}: {out.parent} is no folder")
    reviews, bad = read_file(file, form, read_labelled)
    places = fitting.split([r.content for r in reviews], [r.label for r in reviews], seed, held_out)
    for part in places:
        fitting.require_enough([reviews[at].label for at in part])
    engine = chosen_engine(settings)
    outcomes = ask_engine(engine, settings, sentiment_tasks(reviews))
    by_sign = not has_neutral(reviews)
    parts = [Part([reviews[at] for at in part], [outcomes[at] for at in part], by_sign) for part in places]
    made = _made(engine, parts[0], parts[1], seed)
    save(out, made)
    _show(made, out)
    raise typer.Exit(EXIT_FAILED if bad else 0)


def best(fitted: Part, held_out: Part) -> Calibration:
    """Slope and bias, and the neutral margin where it improves the held-out macro-F1.

    Raises ConfigError where nothing can be fitted.
    """
    answers = fitted.judged(IDENTITY, by_sign=True)
    plain = fitting.fit(answers)
    wider = None if held_out.by_sign else fitting.with_margin(plain, answers)
    if wider is None:
        return plain
    return max(plain, wider, key=lambda one: held_out.figures(one).macro_f1 or 0.0)


def _made(engine: Engine, fitted: Part, held_out: Part, seed: int) -> CalibrationFile:
    found = best(fitted, held_out)
    counts = Counter(review.label for review in fitted.reviews)
    return CalibrationFile(
        engine=engine.name,
        model=engine.model,
        prompt=prompts.prompt_id(Kind.SENTIMENT),
        slope=found.slope,
        bias=found.bias,
        neutral_margin=found.neutral_margin or 0.0,
        created_at=datetime.now(UTC).replace(microsecond=0),
        seed=seed,
        fitted={label: counts[label] for label in Sentiment},
        held_out=Fit(before=held_out.figures(IDENTITY), after=held_out.figures(found)),
    )


def _show(made: CalibrationFile, out: Path) -> None:
    before, after = made.held_out.before, made.held_out.after
    typer.echo(f"{made.engine} ({made.model}), prompt {made.prompt}")
    table = Table("held out", "before", "after")
    table.add_row("reviews", str(before.reviews), str(after.reviews))
    table.add_row("valid answers", str(before.valid), str(after.valid))
    for name in ("accuracy", "macro_f1", "auc", "calibration_error"):
        table.add_row(name.replace("_", " "), shown(getattr(before, name)), shown(getattr(after, name)))
    console().print(table)
    margin = f"neutral within {made.neutral_margin:.3f}" if made.neutral_margin else "no neutral"
    typer.echo(
        f"log-odds x {made.slope:.4f} + {made.bias:.4f}, {margin}; fitted to {sum(made.fitted.values())} reviews"
    )
    typer.echo(f"written: {out} (set CALIBRATION_FILE={out})")
