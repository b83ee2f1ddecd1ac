"""`review-consumer dlq list | show | replay | export`: what became a dead letter, why, and how it goes back."""

import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from consumer.cli.dlq_documents import letter_document, letter_table, moment, tally_document, tally_table
from consumer.cli.kafka_settings import kafka_settings
from consumer.cli.measuring import console
from consumer.cli.output import opened_output
from consumer.cli.progress import open_ended, run_loop, until_stopped
from consumer.errors import ConfigError, Fenced, RetryLater
from consumer.pipeline.exact_run import Plan
from consumer.pipeline.replay import Count, Replay, each_letter, one_letter
from consumer.settings import Settings
from consumer.stream.letters import MAX_ATTEMPTS, Letter, Selection, Tally
from schemas.codec import encode_document, encode_pretty

EXIT_PROBLEM = 1
T = TypeVar("T")

app = typer.Typer(help="Look at the dead letters, and send them back.", no_args_is_help=True)

Reasons = Annotated[list[str] | None, typer.Option("--reason", help="Only of this reason; may be given again.")]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="Failed then or later: RFC 3339, or 90m, 12h, 2d ago.")
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Failed before.")]
Key = Annotated[str | None, typer.Option("--key", help="Only with this key, which is the restaurant's id.")]
AsJson = Annotated[bool, typer.Option("--json", help="As a JSON document.")]


@app.command("list")
def list_letters(
    *, reason: Reasons = None, since: Since = None, until: Until = None, key: Key = None, as_json: AsJson = False
) -> None:
    """Count the dead letters by reason, with the oldest and newest of each, and where the newest lies."""
    settings, selection, tally = kafka_settings(), _selection(reason, since, until, key), Tally()
    _read(settings, selection, lambda letter, replayed: tally.add(letter, replayed=replayed))
    if as_json:
        sys.stdout.buffer.write(encode_pretty(tally_document(tally)))
    else:
        console().print(tally_table(tally))


@app.command()
def show(
    place: Annotated[str, typer.Argument(metavar="PARTITION/OFFSET", help="As `list` and `export` name it.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter whole, its value decoded where it can be. Status 1: there is none."""
    settings = kafka_settings()
    found = _run(one_letter(settings, *_place(place)))
    if found is None:
        typer.echo(f"{settings.topics.dlq} has no record at {place}", err=True)
        raise typer.Exit(EXIT_PROBLEM)
    if as_json:
        sys.stdout.buffer.write(encode_pretty(letter_document(*found)))
    else:
        console().print(letter_table(*found))


@app.command()
def export(
    *,
    reason: Reasons = None,
    since: Since = None,
    until: Until = None,
    key: Key = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Instead of standard output.")] = None,
) -> None:
    """Write the dead letters as JSON lines, byte for byte: what is no UTF-8 in base64. Review texts are in it."""
    settings, selection = kafka_settings(), _selection(reason, since, until, key)
    with opened_output(out) as stream:
        _read(
            settings,
            selection,
            lambda letter, replayed: stream.write(encode_document(letter_document(letter, replayed)) + b"\n"),
        )


@app.command()
def replay(
    *,
    reason: Reasons = None,
    since: Since = None,
    until: Until = None,
    key: Key = None,
    max_attempts: Annotated[
        int, typer.Option(min=1, help="Leave out those with so many attempts behind them, over all their lives.")
    ] = MAX_ATTEMPTS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Send dead letters back to the topic that they came from, each once, exactly as they came.

    Counts first, and asks. Stopped or killed at any time, it goes on where it was when it is run again; a letter that
    was replayed is not replayed by another selection. Mend first what they failed of: those that fail again are dead
    letters again, with their attempts added up. Status 1 if it ended before the end.
    """
    settings, selection = kafka_settings(), _selection(reason, since, until, key, max_attempts)
    would = _replayed(settings, selection, Plan(dry=True))
    _tell(settings, would, dry=True)
    if dry_run or not would.replayed.count:
        return
    if not yes:
        typer.confirm(f"Replay these {would.replayed.count}?", abort=True)
    _tell(settings, _replayed(settings, selection, Plan()), dry=False)


def _replayed(settings: Settings, selection: Selection, plan: Plan) -> Count:
    """Run it, with a bar. What ends it early ends the command, with a message."""
    with open_ended("counting" if plan.dry else "replaying") as tell:
        run = Replay(settings, selection, plan, lambda count, remaining: tell(_seen(count), _seen(count) + remaining))
        whole = _run(until_stopped(run.run(), run.stop))
    if not whole:
        _tell(settings, run.count, dry=plan.dry)
        typer.echo("stopped before the end; run it again to go on from here", err=True)
        raise typer.Exit(EXIT_PROBLEM)
    return run.count


def _seen(count: Count) -> int:
    return count.replayed.count + count.passed + count.before + count.foreign


def _tell(settings: Settings, count: Count, *, dry: bool) -> None:
    if count.replayed.count:
        console().print(tally_table(count.replayed, status=False))
    said = [f"{'would replay' if dry else 'replayed'} {count.replayed.count} of {_seen(count)} dead letters"]
    if count.before:
        said.append(f"{count.before} were replayed before")
    if count.foreign:
        said.append(f"{count.foreign} came from topics other than {settings.topics.reviews} and stay (see `rekey`)")
    typer.echo("; ".join(said))


def _read(settings: Settings, selection: Selection, take: Callable[[Letter, bool], object]) -> None:
    with open_ended("dead letters") as tell:
        read = 0

        def advance(count: int, size: int) -> None:
            nonlocal read
            read += count
            tell(read, size)

        _run(each_letter(settings, selection, take, advance))


def _run(main: Coroutine[Any, Any, T]) -> T:
    """Run it. What may be better in a moment ends with a message and status 1, what a person must change with 2."""
    try:
        return run_loop(main)
    except (Fenced, RetryLater) as error:
        typer.echo(f"{error}; run it again to go on", err=True)
        raise typer.Exit(EXIT_PROBLEM) from None


def _selection(
    reasons: list[str] | None, since: str | None, until: str | None, key: str | None, below: int | None = None
) -> Selection:
    now = datetime.now(UTC)
    return Selection(
        frozenset(reasons or ()),
        moment("--since", since, now),
        moment("--until", until, now),
        None if key is None else key.encode(),
        below,
    )


def _place(text: str) -> tuple[int, int]:
    """Partition and offset. Raises ConfigError."""
    partition, _, offset = text.partition("/")
    if not (partition.isdecimal() and offset.isdecimal()):
        raise ConfigError(f"{text}: give partition and offset of the dead letter, such as 0/17")
    return int(partition), int(offset)
