"""`review-consumer topics create | check`: the topics, set up and compared with what they must be."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from consumer.cli.kafka_settings import kafka_settings
from consumer.kafka import admin
from consumer.settings import Settings
from schemas.topics import TopicSpec, topic_specs

DEFAULT_PARTITIONS = 12
EXIT_PROBLEMS = 1

app = typer.Typer(help="Set up the topics, or compare them with what they must be.", no_args_is_help=True)

Seconds = Annotated[float, typer.Option("--timeout", min=1, max=600, help="Bound on the whole command, in seconds.")]


@app.command()
def create(
    partitions: Annotated[
        int,
        typer.Option(min=1, max=10_000, help="Partitions of each new topic: the most members that can share the work."),
    ] = DEFAULT_PARTITIONS,
    replication_factor: Annotated[
        int | None, typer.Option(min=1, max=100, help="Default: 3, or the number of brokers where there are fewer.")
    ] = None,
    timeout: Seconds = admin.DEFAULT_SECONDS,
) -> None:
    """Create the topics that are missing, leave the others as they are, and check all. Status 1 with problems."""
    settings, specs = _wanted()
    done = asyncio.run(admin.create(settings.kafka, specs, partitions, replication_factor, timeout))
    new = set(done.created)
    _show(specs, done.report, {spec.name: "created" if spec.name in new else "was there" for spec in specs})


@app.command()
def check(timeout: Seconds = admin.DEFAULT_SECONDS) -> None:
    """Compare the topics with what they must be; change nothing. Status 1 with problems."""
    settings, specs = _wanted()
    _show(specs, asyncio.run(admin.check(settings.kafka, specs, timeout)), {})


def _wanted() -> tuple[Settings, Sequence[TopicSpec]]:
    """Raises ConfigError where the settings are wrong."""
    settings = kafka_settings()
    return settings, topic_specs(settings.topics, settings.delivery.kafka_group_id)


def _show(specs: Sequence[TopicSpec], report: admin.Report, done: dict[str, str]) -> None:
    Console(width=None if Console().is_terminal else 160).print(_table(specs, report, done))
    for left_out in report.left_out:
        typer.echo(f"not compared: {left_out}")
    for problem in report.problems:
        typer.echo(f"problem: {problem}", err=True)
    if report.problems:
        raise typer.Exit(EXIT_PROBLEMS)


def _table(specs: Sequence[TopicSpec], report: admin.Report, done: dict[str, str]) -> Table:
    table = Table("topic", "partitions", "cleanup", "state")
    wrong = {problem.topic for problem in report.problems}
    for spec in specs:
        state = "problem" if spec.name in wrong else done.get(spec.name, "ok")
        count = report.partitions.get(spec.name)
        table.add_row(spec.name, "-" if count is None else str(count), spec.config["cleanup.policy"], state)
    return table
