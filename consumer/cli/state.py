"""`review-consumer state show | export | reset`: what the changelogs hold, and how to begin anew."""

import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import orjson
import typer
from rich.table import Table

from consumer.cli.kafka_settings import kafka_settings
from consumer.cli.measuring import console
from consumer.cli.output import opened_output
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
from consumer.stream.changelog import LANE_KEY, restaurant_entry_key
from consumer.stream.place import RESETTING
from consumer.stream.record import Partition
from schemas.codec import encode_pretty, restaurant_key
from schemas.topics import by_group_partition, partitioner, state_topic, topic_specs

EXIT_PROBLEM = 1
NEWEST = 10

Found = Mapping[Partition, reading.LaneStanding]

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
    settings = kafka_settings()
    with _values() as values:
        lanes = _run(_of_restaurant(settings, restaurant, values))
        documents = [
            lane_document(lane, standing.input, values.of(lane), newest=newest, texts=texts)
            for lane, standing in lanes.items()
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
    settings = kafka_settings()
    with _values() as values:
        lanes = _run(_read_all(settings, values, restaurant, partition))
        with opened_output(out) as stream:
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
    settings = kafka_settings()
    with _values() as values:
        lanes, plan = _run(_planned(settings, values, to))
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
    for file in resetting.remove_local_stores(settings, lanes):
        typer.echo(f"deleted {file}")
    typer.echo("done; `review-consumer run` goes on as the table says")


async def _of_restaurant(settings: Settings, restaurant: str, values: LatestValues) -> Found:
    """Read the lanes that may know it: its reviews', then its group's."""
    counts, names = await _counts(settings), settings.topics
    key = restaurant_key(restaurant)
    reviews = await _read(settings, _reviews_lanes(settings, counts, restaurant), values, restaurant)
    groups = {
        orjson.loads(state).get("group")
        for lane in reviews
        if (state := values.get(lane, restaurant_entry_key(restaurant))) is not None
    }
    numbers = sorted({by_group_partition(group, key, counts[names.by_group]) for group in groups})
    return {**reviews, **await _read(settings, [Partition(names.by_group, n) for n in numbers], values, restaurant)}


async def _read_all(settings: Settings, values: LatestValues, restaurant: str | None, partition: int | None) -> Found:
    """Read the lanes that are asked for. Raises ConfigError where no topic has such a partition."""
    counts, names = await _counts(settings), settings.topics
    lanes = [
        *_reviews_lanes(settings, counts, restaurant),
        *(Partition(names.by_group, n) for n in range(counts[names.by_group])),
    ]
    if partition is not None and partition >= max(counts[names.reviews], counts[names.by_group]):
        has = f"{names.reviews} has {counts[names.reviews]}, {names.by_group} {counts[names.by_group]}"
        raise ConfigError(f"--partition {partition}: {has} partitions, numbered from 0")
    return await _read(settings, [p for p in lanes if partition in {None, p.partition}], values, restaurant)


async def _planned(settings: Settings, values: LatestValues, to: To) -> tuple[list[Partition], list[LaneReset]]:
    """All lanes, and what is to be done with those that have anything: an empty store may lie here without a commit."""
    await resetting.require_no_members(settings)
    counts = await _counts(settings)
    inputs = [settings.topics.reviews, settings.topics.by_group]
    lanes = [Partition(topic, number) for topic in inputs for number in range(counts[topic])]
    found = await _read(settings, lanes, values, None)
    plans = [resetting.planned(lane, counts[lane.topic], at, values, to.value) for lane, at in found.items()]
    return lanes, [plan for plan in plans if plan is not None]


async def _carried_out(
    settings: Settings, plan: Sequence[LaneReset], values: LatestValues, advance: Callable[[int], None]
) -> None:
    for lane in plan:
        await resetting.reset(settings, lane, values, advance)


def _reviews_lanes(settings: Settings, counts: Mapping[str, int], restaurant: str | None) -> list[Partition]:
    """Where the state of this restaurant's reviews may lie."""
    topic, place = settings.topics.reviews, partitioner(settings.delivery.key_partitioner)
    if restaurant is None or place is None:
        return [Partition(topic, number) for number in range(counts[topic])]
    return [Partition(topic, place(restaurant_key(restaurant), counts[topic]))]


async def _counts(settings: Settings) -> Mapping[str, int]:
    """Partition counts. Raises ConfigError where a topic that is needed is missing."""
    names, group = settings.topics, settings.delivery.kafka_group_id
    specs = topic_specs(names, group)
    needed = {names.reviews, names.by_group, state_topic(group, names.reviews), state_topic(group, names.by_group)}
    report = await admin.check(settings.kafka, specs, settings.kafka.request_timeout_seconds)
    if problems := [str(problem) for problem in report.problems if problem.topic in needed]:
        raise ConfigError("\n".join(problems))
    return report.partitions


async def _read(settings: Settings, lanes: Sequence[Partition], values: LatestValues, restaurant: str | None) -> Found:
    """Read these lanes' changelogs, with a progress bar."""
    found = await reading.find(settings, lanes)
    with progress(sum(standing.size for standing in found.values())) as (say, advance):
        for lane, standing in found.items():
            say(f"{lane.topic}/{lane.partition}")
            await reading.read(settings, lane, standing.changelog.beginning, values, advance, restaurant)
    return found


def _run(main: Coroutine[Any, Any, T]) -> T:
    """Run it. What may be better in a moment ends with a message and status 1, what a person must change with 2."""
    try:
        return run_loop(main)
    except (RetryLater, Discontinued) as error:
        typer.echo(f"try again: {error}", err=True)
        raise typer.Exit(EXIT_PROBLEM) from None
    except LaneRefused as error:
        raise ConfigError(str(error)) from None


@contextmanager
def _values() -> Iterator[LatestValues]:
    held = LatestValues()
    try:
        yield held
    finally:
        held.close()


def _print(documents: Sequence[Document]) -> None:
    out = console()
    for document in documents:
        for table in tables(document):
            out.print(table)


def _plan_table(plan: Sequence[LaneReset], values: LatestValues) -> Table:
    table = Table("lane", "keys", "state stands at", "the group stands at", "goes on at", "records to read")
    for lane in plan:
        mark = "-" if lane.mark is None else str(lane.mark.offset)
        table.add_row(
            f"{lane.lane.topic}/{lane.lane.partition}",
            str(values.count(lane.lane)),
            "cut short" if lane.mark is not None and lane.mark.offset == RESETTING else mark,
            "-" if lane.committed is None else str(lane.committed),
            str(lane.goes_on_at),
            str(max(0, lane.end - lane.goes_on_at)),
        )
    return table
