"""What `calibrate` and `evaluate` share: a file in, an engine that answers, judged answers out."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from consumer.analysis.answers import InvalidAnswer
from consumer.analysis.calibration import Calibration
from consumer.analysis.judging import Judged, judge
from consumer.analysis.labelled import LabelledReview, Review
from consumer.analysis.task import Kind, Task
from consumer.analysis.text import language_of
from consumer.cli.progress import progress
from consumer.engines.contract import Answer, Engine
from consumer.errors import ConfigError, EngineDown
from consumer.hooks import logs
from consumer.pipeline.asking import AskLimits, Outcome, ask
from consumer.pipeline.assembly import choose_engine
from consumer.settings import Settings
from schemas.base import Sentiment
from schemas.lines import BadLine, Format, format_of

EXIT_FAILED = 1
EXIT_TERMINATED = 143
_STDOUT, _STDERR = 1, 2
PIPE_WIDTH = 160
"""Columns of a table that no terminal bounds."""

R = TypeVar("R", bound=Review)
Reader = Callable[[Iterable[bytes], Format], Iterator[R | BadLine]]

File = Annotated[Path, typer.Argument(metavar="FILE", help="JSON lines, or CSV by its suffix.")]
Form = Annotated[Format | None, typer.Option("--format", help="What FILE holds, whatever its suffix.")]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Answers beside the truth: `judged` has None where an answer cannot be read, `failures` counts why."""

    judged: Sequence[Judged | None]
    failures: Counter[str]


def read_file(path: Path, form: Format | None, read: Reader[R]) -> tuple[list[R], int]:
    """The reviews of a file, which is held in memory, and how many lines were bad: each is named on standard error.

    Raises ConfigError where the file cannot be read, or holds nothing that can be used.
    """
    good: list[R] = []
    bad = 0
    try:
        with path.open("rb") as stream:
            for line in read(stream, form or format_of(path.name)):
                if isinstance(line, BadLine):
                    bad += 1
                    typer.echo(f"line {line.number}: {line.reason}", err=True)
                else:
                    good.append(line)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from None
    if not good:
        raise ConfigError(f"{path} holds no review that can be used")
    return good, bad


def sentiment_tasks(reviews: Iterable[Review]) -> list[Task]:
    """One task a review, as the service asks it."""
    return [Task(Kind.SENTIMENT, language_of([r.content]), reviews=(r.content,)) for r in reviews]


def chosen_engine(settings: Settings) -> Engine:
    """The engine that `run` would take, not started; its log lines go where the service's do."""
    logs.configure(settings.service.log_format, settings.service.log_level)
    return choose_engine(settings)


def ask_engine(engine: Engine, settings: Settings, tasks: Sequence[Task]) -> list[Outcome]:
    """Start the engine, ask it, stop it, with a progress bar on standard error.

    An engine that dies ends the command with a message and status 1. SIGTERM stops the engine first.
    """
    try:
        with _stdout_kept(), progress(len(tasks)) as (say, advance):
            say(f"starting {engine.name} ({engine.model})")
            return asyncio.run(_ask(engine, tasks, AskLimits.of(settings), say, lambda: advance(1)))
    except EngineDown as error:
        typer.echo(f"the engine is down: {error}", err=True)
        raise typer.Exit(EXIT_FAILED) from None
    except asyncio.CancelledError:
        raise typer.Exit(EXIT_TERMINATED) from None


def judge_all(
    outcomes: Sequence[Outcome], reviews: Sequence[LabelledReview], calibration: Calibration, *, by_sign: bool
) -> Verdicts:
    """Judge each review's answer."""
    judged: list[Judged | None] = []
    failures: Counter[str] = Counter()
    for outcome, review in zip(outcomes, reviews, strict=True):
        found, reason = None, InvalidAnswer.reason
        if isinstance(outcome.said, Answer):
            found = judge(outcome.said, review.label, calibration, by_sign=by_sign)
        else:
            reason = outcome.said.reason
        judged.append(found)
        if found is None:
            failures[reason] += 1
    return Verdicts(judged, failures)


def has_neutral(reviews: Iterable[LabelledReview]) -> bool:
    """Whether the file knows neutral reviews; if not, answers are judged by their sign."""
    return any(review.label is Sentiment.NEUTRAL for review in reviews)


def console() -> Console:
    """Standard output; wide enough for the tables where it is no terminal."""
    found = Console()
    return found if found.is_terminal else Console(width=PIPE_WIDTH)


def shown(value: float | None, decimals: int = 3) -> str:
    """A figure for people; a dash where there is none."""
    return "-" if value is None else f"{value:.{decimals}f}"


async def _ask(
    engine: Engine,
    tasks: Sequence[Task],
    limits: AskLimits,
    say: Callable[[str], None],
    advance: Callable[[], None],
) -> list[Outcome]:
    if task := asyncio.current_task():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        await engine.start()
        say("answers")
        return await ask(engine, tasks, limits, advance)
    finally:
        await engine.stop()


@contextmanager
def _stdout_kept() -> Iterator[None]:
    """Send what libraries and their processes print meanwhile to standard error: the other is for the results."""
    sys.stdout.flush()
    kept = os.dup(_STDOUT)
    os.dup2(_STDERR, _STDOUT)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, _STDOUT)
        os.close(kept)
