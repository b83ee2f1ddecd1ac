"""`review-consumer rekey`: a topic that is keyed some other way, copied into the reviews topic exactly once."""

import sys
import time
from typing import Annotated

import typer

from consumer.cli.kafka_settings import kafka_settings
from consumer.cli.progress import open_ended, run_loop, until_stopped
from consumer.errors import Fenced, RetryLater
from consumer.pipeline.rekey import Plan, Rekey
from consumer.settings import Settings

EXIT_FAILED = 1


def rekey(
    source: Annotated[str, typer.Argument(metavar="SOURCE_TOPIC", help="The topic that is keyed some other way.")],
    *,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what arrives, until stopped.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and write nothing.")] = False,
) -> None:
    """Copy SOURCE_TOPIC into TOPIC_REVIEWS, each record under its restaurant_id, exactly once.

    Value, headers and timestamp stay as they are; what is no review event becomes a dead letter. It ends at the end
    that was there at its start, and may be stopped or killed at any time: run again, it goes on where it was.
    Status 1 if it ended before.
    """
    settings = kafka_settings()
    with open_ended("rekey") as tell:
        run = Rekey(
            settings,
            source,
            Plan(follow, dry_run),
            time.time,
            lambda count, remaining: tell(count.all, count.all + remaining),
        )
        failure, whole = _ended(run)
    typer.echo(_summary(settings, source, run, dry=dry_run))
    if failure or not (whole or follow):
        sys.stderr.write(f"error: {failure or 'stopped before the end'}; run it again to go on from here\n")
        raise typer.Exit(EXIT_FAILED)


def _ended(run: Rekey) -> tuple[str, bool]:
    """What went wrong, if anything, and whether all was copied."""
    try:
        return "", run_loop(until_stopped(run.run(), run.stop))
    except (Fenced, RetryLater) as error:
        return str(error), False


def _summary(settings: Settings, source: str, run: Rekey, *, dry: bool) -> str:
    reasons = ", ".join(f"{reason} {n}" for reason, n in sorted(run.count.dead.items()))
    letters = f"{run.count.dead.total()} dead letters" + (f" ({reasons})" if reasons else "")
    verb, also = ("would copy", "make") if dry else ("copied", "made")
    deleted = f"; {run.deleted} were deleted by retention before they could be copied" if run.deleted else ""
    return f"{verb} {run.count.copied} of {source} to {settings.topics.reviews}, {also} {letters}{deleted}"
