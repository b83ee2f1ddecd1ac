"""The command line: `review-producer`."""

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from producer import demo as _demo
from producer import sample, settings, tables
from producer.board import Board
from producer.errors import CannotGoOn
from producer.feed import feed
from producer.files import line_count, opened
from producer.kafka.client import Sender
from producer.pacing import Pace
from producer.reading import BadLine, Format, Line, format_of, read
from producer.send import Count, Transmission
from producer.settings import Settings
from producer.watch import watch as _watch

EXIT_BAD = 1
EXIT_CANNOT_GO_ON = 2
EXIT_TERMINATED = 143
PIPE_WIDTH = 160
"""Columns of a table that no terminal bounds."""

app = typer.Typer(
    name="review-producer",
    help="The upstream side: send reviews, watch the results, see it all in a demo.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # locals hold review texts and secrets
)


def main() -> None:
    """Run the command line. What a person must change ends with a message and status 2, never a traceback."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it would log is in the message
    try:
        app()
    except CannotGoOn as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(EXIT_CANNOT_GO_ON)


@app.command()
def send(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="JSON lines, or CSV by its suffix; - reads JSON lines from standard input."
        ),
    ],
    form: Annotated[Format | None, typer.Option("--format", help="What FILE holds, whatever its suffix.")] = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Events a second; default: as fast as they go.")] = None,
    topic: Annotated[str | None, typer.Option(help="Default: TOPIC_REVIEWS.")] = None,
) -> None:
    """Send review events. Bad lines are reported and left out, the rest is sent; status 1 if any line was bad."""
    chosen = settings.load()
    to = topic or chosen.topics.reviews
    started = time.monotonic()
    with opened(file) as stream, _progress(line_count(file)) as (report, advance):
        lines = read(stream, form or format_of(file))
        count = asyncio.run(_send(chosen, to, lines, rate, report, advance))
    seconds = time.monotonic() - started
    typer.echo(f"sent {count.sent}, bad {count.bad}: {to} at {chosen.kafka.bootstrap_servers}, {seconds:.1f} s")
    raise typer.Exit(EXIT_BAD if count.bad else 0)


@app.command()
def watch(
    *,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="All that the topics hold; default: what comes from now on.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="Read all that is there, show it, and end.")] = False,
) -> None:
    """Show the results as a live table, a row a restaurant, until interrupted."""
    chosen, console = settings.load(), _console()
    with Live(console=console, auto_refresh=False) as live, suppress(KeyboardInterrupt):  # which is the way to end it

        def show(board: Board) -> None:
            live.update(tables.live(board), refresh=console.is_terminal)

        asyncio.run(_watch(chosen.kafka, chosen.topics, show, from_beginning=from_beginning, once=once))
    if not console.is_terminal:
        console.line()  # there, rich leaves the table's last line open


@app.command()
def demo(
    patience: Annotated[
        float, typer.Option(min=1, help="Seconds to wait for the results; a large engine may take minutes to start.")
    ] = _demo.SETTLE_SECONDS,
) -> None:
    """Run the sample through an embedded broker and the consumer; show what comes out. Needs no set-up."""
    console = _console()
    found = sample.load()
    console.print(
        f"{len(found.reviews)} review events of {len(found.names)} restaurants, {len(found.malformed)} broken ones.\n"
        "The broker is embedded: it keeps everything in memory, and delivery is at least once there."
    )
    with console.status("starting broker and consumer") as status:
        try:
            outcome = asyncio.run(_demo.demo(found, lambda text: status.update(escape(text)), patience=patience))
        except asyncio.CancelledError:
            raise typer.Exit(EXIT_TERMINATED) from None
    console.print(tables.report(outcome.board, found.names))
    console.print(
        f"read {outcome.read} = answered {len(outcome.tally.answered)} + dead-lettered {len(outcome.tally.dead)}; "
        f"{outcome.seconds:.1f} s"
    )
    for complaint in outcome.complaints:
        typer.echo(f"problem: {complaint}", err=True)
    if outcome.complaints:
        typer.echo(f"the end of the consumer's log:\n{outcome.log_tail}", err=True)
        raise typer.Exit(EXIT_BAD)


@app.command()
def gateway(
    *,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Only print the settings as a table for a README.")
    ] = False,
) -> None:
    """Serve batch requests and the latest results over HTTP, until SIGTERM or SIGINT. Settings: GATEWAY_..."""
    if markdown:
        typer.echo(settings.gateway_table())
        return
    try:
        from producer.gateway.serving import serve  # noqa: PLC0415 - an extra: only the gateway needs it
    except ImportError as error:
        raise CannotGoOn(
            f"the gateway needs fastapi and uvicorn ({error}): pip install 'review-consumer[gateway]'"
        ) from None
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve(settings.load(), settings.load_gateway(), lambda url: typer.echo(f"gateway: {url}", err=True)))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415 - not on every platform

    return uvloop.new_event_loop


def _console() -> Console:
    """Standard output; wide enough for the tables where it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPE_WIDTH)


async def _send(
    chosen: Settings,
    topic: str,
    lines: Iterator[Line],
    rate: float | None,
    report: Callable[[BadLine], None],
    advance: Callable[[int], None],
) -> Count:
    sender = Sender(chosen.kafka)
    await sender.start()
    try:
        await sender.require(topic)
        pace = Pace(rate, time.monotonic()) if rate else None
        return await Transmission(sender, topic, report, advance).send_all(feed(lines), pace)
    finally:
        await sender.stop()


@contextmanager
def _progress(lines: int | None) -> Iterator[tuple[Callable[[BadLine], None], Callable[[int], None]]]:
    """Hold a progress bar on standard error; give what reports a bad line above it, and what moves it to a line."""
    console = Console(stderr=True)
    columns = (TextColumn("lines"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("lines", total=lines)
        yield (
            lambda bad: console.print(
                f"line {bad.number}: {bad.reason}", markup=False, highlight=False, soft_wrap=True
            ),
            lambda number: bar.update(task, completed=number),
        )


if __name__ == "__main__":
    main()
