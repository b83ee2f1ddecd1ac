"""`review-consumer config`: what is set, and where it comes from."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from consumer.settings import Entry, entries, load


def config(
    *, markdown: Annotated[bool, typer.Option("--markdown", help="All settings as a table for a README.")] = False
) -> None:
    """Show the effective settings, where each comes from, secrets masked."""
    found = list(entries(load()))
    if markdown:
        typer.echo(as_markdown(found))
    else:
        Console(width=None if Console().is_terminal else 160).print(_table(found))


def as_markdown(found: list[Entry]) -> str:
    """The table of settings in the README: variable, default, meaning."""
    rows = [f"| `{e.variable}` | {f'`{e.default}`' if e.default else ''} | {e.description} |" for e in found]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])


def _table(found: list[Entry]) -> Table:
    table = Table("variable", "value", "from", "meaning")
    for entry in found:
        table.add_row(entry.variable, entry.value, entry.source, entry.description)
    return table
