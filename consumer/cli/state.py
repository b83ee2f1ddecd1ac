"""`review-consumer state show | export | reset`: what the changelogs hold, and how to begin anew."""

import logging
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated, Any, TypeVar

import typer
from rich.table import Table

from consumer import settings as _settings
from consumer.cli.measuring import console
from consumer.cli.progress import progress, run_loop
from consumer.cli.state_document import Document, export_line, knows, lane_document
from consumer.cli.state_tables import tables
from consumer.errors import ConfigError, LaneRefused, RetryLater
from consumer.kafka import admin
from consumer.kafka.changelog import Discontinued
from consumer.pipeline import reading, resetting
from consumer.pipeline.resetting import LaneReset
from consumer.settings import Settings
from consumer.store.latest import LatestValues
from consumer.stream.changelog import LANE_KEY
from consumer.stream.place import RESETTING
from consumer.stream.record import Partition
from schemas.codec import encode_pretty, restaurant_key
from schemas.topics import by_group_partition, partitioner, topic_specs

EXIT_PROBLEM = 1
NEWEST = 10

app = typer.Typer(help="Look at the state of the lanes, or delete it.", no_args_is_help=True)
T = TypeVar("T")


class To(StrEnum):
    """Where a lane without state goes on."""

    BEGINNING = "beginning"
    COMMITTED = "committed"


@app.command()
def show(
    restaurant: Annotated[str, typer.Argument(metavar="RESTAURANT", help="Its id.")],
    *,
    newest: Annotated[int, typer.Option(min=0, max=1000, help="How many of its reviews to list.")] = NEWEST,
    texts: Annotated[bool, typer.Option("--texts", help="With the texts that wait for a summary.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As a JSON document.")] = False,
) -> None:
    """Show what is known of one restaurant, from the changelog; running members do not notice. Status 1: nothing."""
    settings = _wanted()
    with _values() as values:
        lanes = _run(_of_restaurant(settings, restaurant, values))
        documents = [
            lane_document(lane, offsets, values.of(lane), newest=newest, texts=texts)
            for lane, offsets in lanes.items()
        ]
    known = [document for document in documents if knows(document)]
    if as_json:
        sys.stdout.buffer.write(encode_pretty({"restaurant": restaurant, "lanes": known or documents}))
    else:
        _print(known or documents)
    if not known:
        typer.echo(f"nothing is known of restaurant {restaurant}", err=True)
        raise typer.Exit(EXIT_PROBLEM)


@app.command()
def export(
    *,
    restaurant: Annotated[str | None, typer.Option(help="Only what is about this one.")] = None,
    partition: Annotated[int | None, typer.Option(min=0, help="Only this partition of each input topic.")] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Instead of standard output.")] = None,
) -> None:
    """Write the state as JSON lines, the latest value of each key. Review texts that wait for a summary are in it."""
    settings = _wanted()
    with _values() as values:
        lanes = _run(_read_all(settings, values, restaurant, partition))
        with _output(out) as stream:
            for lane in lanes:
                stream.writelines(
                    export_line(latest)
                    for latest in values.of(lane)
                    if restaurant is None or latest.key != LANE_KEY  # of one restaurant: what is about it alone
                )


@app.command()
def reset(
    *,
    to: Annotated[
        To,
        typer.Option(
            "--from",
            help="Where the group goes on: at the beginning of the topics (each review is read and answered anew), or "
            "where it stands (totals and summaries know only what comes).",
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete the state of the group's lanes, in Kafka and on this host, after a question. The group must be stopped."""
    settings = _wanted()
    with _values() as values:
        plan = _run(_planned(settings, values, to))
        if not plan:
            typer.echo("there is no state, and no committed offset: nothing to do")
            return
        console().print(_plan_table(plan, values))
        if not yes:
            typer.confirm(f"Delete this state of the group {settings.delivery.kafka_group_id}?", abort=True)
        keys = sum(values.count(lane.lane) for lane in plan)
        with progress(keys) as (say, advance):
            say("tombstones")
            _run(_carried_out(settings, plan, values, advance))
    for file in resetting.remove_local_stores(settings, [lane.lane for lane in plan]):
        typer.echo(f"deleted {file}")
    typer.echo("done; `review-consumer run` goes on as the table says")


async def _of_restaurant(settings: Settings, restaurant: str, values: LatestValues) -> dict[Partition, Any]:
    """Read the lanes that may know it: its reviews', then its group's."""
    counts, names = await _counts(settings), settings.topics
    place = partitioner(settings.delivery.key_partitioner)
    key, count = restaurant_key(restaurant), counts[names.reviews]
    numbers = range(count) if place is None else [place(key, count)]
    found = await _read(settings, [Partition(names.reviews, n) for n in numbers], values, restaurant)
    groups = {_group(values, lane, restaurant) for lane in found}
    numbers = sorted({by_group_partition(g, key, counts[names.by_group]) for g in groups if g is not None})
    return found | await _read(settings, [Partition(names.by_group, n) for n in numbers], values, restaurant)


def _group(values: LatestValues, lane: Partition, restaurant: str) -> str | None:
    """The restaurant's comparison group, "" for none; None where this lane does not know it."""
    for latest in values.of(lane):
        document = lane_document(lane, _NOWHERE, [latest], newest=0, texts=False)
        if document["state"]:
            return document["state"].get("group") or ""
    return None
