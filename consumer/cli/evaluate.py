"""`review-consumer evaluate FILE`: how good the chosen engine's answers are."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import BaseModel, ConfigDict
from rich.table import Table

from consumer import settings as _settings
from consumer.analysis import calibration_file, prompts
from consumer.analysis.answers import MAX_REVIEWS, InvalidAnswer, parse_summary
from consumer.analysis.labelled import Review, read_labelled, read_reviews
from consumer.analysis.metrics import Figures, figures
from consumer.analysis.summary import summary_task
from consumer.analysis.summary_figures import Summarised, SummaryFigures, summary_figures
from consumer.analysis.task import Kind, Task
from consumer.analysis.text import language_of
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
from consumer.engines.contract import Answer
from consumer.pipeline.asking import Outcome
from consumer.settings import Settings
from schemas.base import Sentiment
from schemas.lines import Format


class Report(BaseModel):
    """What `--json` prints: by whom the answers were made, the figures, and why answers are missing."""

    model_config = ConfigDict(frozen=True)

    engine: str
    model: str
    prompt: str
    calibration: Path | None
    """CALIBRATION_FILE; no matter to summaries."""
    judged_by: Literal["label", "sign", "form"]
    figures: Figures | SummaryFigures
    failures: Mapping[str, int]
    """By reason code."""


def evaluate(
    file: File,
    *,
    count_neutral_as_wrong: Annotated[
        bool,
        typer.Option(
            "--count-neutral-as-wrong",
            help="Judge a file without neutral labels by the label given, not by the larger of positive and negative.",
        ),
    ] = False,
    summaries: Annotated[
        bool, typer.Option("--summaries", help="Measure summaries instead; the reviews need no labels.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    form: Form = None,
) -> None:
    """Measure the engine that `run` would take, with its CALIBRATION_FILE. Status 1 if a line of the file was bad.

    Each line: `content` and one of `label` (positive, negative, neutral), `is_recommended` (true, false), `rating`
    (1 to 5: up to 2 negative, from 4 positive, between them neutral). Summaries are made of the reviews of one
    `restaurant_id` in turn, at most 16 at once; lines without one are taken as they come.
    """
    settings = _settings.load()
    if summaries:
        report, bad = _summaries(settings, file, form)
    else:
        report, bad = _sentiment(settings, file, form, neutral_is_wrong=count_neutral_as_wrong)
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        _show(report)
    raise typer.Exit(EXIT_FAILED if bad else 0)


def summary_tasks(reviews: Iterable[Review]) -> Iterator[Task]:
    """Tasks of at most MAX_REVIEWS reviews each, of one restaurant; those of none are one group of their own."""
    groups: dict[str | None, list[str]] = {}
    for review in reviews:
        groups.setdefault(review.restaurant, []).append(review.content)
    for texts in groups.values():
        for at in range(0, len(texts), MAX_REVIEWS):
            piece = texts[at : at + MAX_REVIEWS]
            yield summary_task(None, piece, language_of(piece))


def _sentiment(settings: Settings, file: Path, form: Format | None, *, neutral_is_wrong: bool) -> tuple[Report, int]:
    reviews, bad = read_file(file, form, read_labelled)
    engine = chosen_engine(settings)
    calibration = calibration_file.load(settings.engine.calibration_file, engine.name, engine.model)
    outcomes = ask_engine(engine, settings, sentiment_tasks(reviews))
    by_sign = not (has_neutral(reviews) or neutral_is_wrong)
    found = judge_all(outcomes, reviews, calibration, by_sign=by_sign)
    report = Report(
        engine=engine.name,
        model=engine.model,
        prompt=prompts.prompt_id(Kind.SENTIMENT),
        calibration=settings.engine.calibration_file,
        judged_by="sign" if by_sign else "label",
        figures=figures([judged for judged in found.judged if judged], len(reviews)),
        failures=found.failures,
    )
    return report, bad


def _summaries(settings: Settings, file: Path, form: Format | None) -> tuple[Report, int]:
    reviews, bad = read_file(file, form, read_reviews)
    engine = chosen_engine(settings)
    tasks = list(summary_tasks(reviews))
    outcomes = ask_engine(engine, settings, tasks)
    made, failures = _parsed(outcomes)
    report = Report(
        engine=engine.name,
        model=engine.model,
        prompt=prompts.prompt_id(Kind.SUMMARY),
        calibration=None,
        judged_by="form",
        figures=summary_figures(made, len(tasks)),
        failures=failures,
    )
    return report, bad


def _parsed(outcomes: Iterable[Outcome]) -> tuple[list[Summarised], Counter[str]]:
    """The summaries that can be read, and how many cannot, by reason."""
    made: list[Summarised] = []
    failures: Counter[str] = Counter()
    for outcome in outcomes:
        if not isinstance(outcome.said, Answer):
            failures[outcome.said.reason] += 1
            continue
        reviews = outcome.sent.reviews
        try:
            made.append(Summarised(reviews, parse_summary(outcome.said.text, len(reviews))))
        except InvalidAnswer as error:
            failures[error.reason] += 1
    return made, failures


def _show(report: Report) -> None:
    out = console()
    calibrated = f", calibrated by {report.calibration}" if report.calibration else ""
    typer.echo(f"{report.engine} ({report.model}), prompt {report.prompt}{calibrated}")
    table = Table("figure", "value")
    if isinstance(report.figures, Figures):
        _add_sentiment(table, report.figures, by_sign=report.judged_by == "sign")
        out.print(table)
        out.print(_confusion(report.figures))
    else:
        _add_summaries(table, report.figures)
        out.print(table)
    for reason, count in report.failures.items():
        typer.echo(f"no valid answer: {count} {reason}")


def _add_sentiment(table: Table, found: Figures, *, by_sign: bool) -> None:
    table.add_row("reviews", str(found.reviews))
    table.add_row("valid answers", shown(found.valid / found.reviews))
    table.add_row("judged by", "the larger of positive and negative" if by_sign else "the label")
    for name in ("accuracy", "macro_f1", "auc", "calibration_error"):
        table.add_row(name.replace("_", " "), shown(getattr(found, name)))


def _confusion(found: Figures) -> Table:
    table = Table("true label", *(f"said {label}" for label in Sentiment))
    for truth, row in found.confusion.items():
        table.add_row(truth, *(str(row[label]) for label in Sentiment))
    return table


def _add_summaries(table: Table, found: SummaryFigures) -> None:
    table.add_row("summaries asked for", str(found.tasks))
    table.add_row("valid answers", shown(found.valid / found.tasks))
    table.add_row(f"claims with a valid citation, of {found.claims}", shown(found.cited))
    table.add_row(f"aspects mentioned, of {found.aspects} that two or more reviews speak of", shown(found.covered))
    table.add_row("claims a summary", shown(found.claims_per_summary, 1))
    table.add_row("characters of a claim", shown(found.claim_characters, 1))
    table.add_row("characters of the overall summary", shown(found.overall_characters, 1))
