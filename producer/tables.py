"""Tables for people: pure, from a board to what rich prints."""

from collections.abc import Mapping

from rich import box
from rich.markup import escape
from rich.table import Table

from producer.board import Board, Row, group_of
from schemas.findings import Strength
from schemas.results import RestaurantStrengths, SentimentTotals

STRENGTHS_SHOWN = 2
SUMMARY_SHOWN = 160
QUOTE_SHOWN = 60


def live(board: Board) -> Table:
    """One line a restaurant, for `watch`: counts, percents, the last summary, the strongest strength."""
    table = Table(box=box.SIMPLE_HEAD, caption=_caption(board), caption_justify="left")
    for column in ("restaurant", "reviews", "+", "−", "○"):
        table.add_column(column, justify="left" if column == "restaurant" else "right", no_wrap=True)
    table.add_column("summary", ratio=3, overflow="fold")
    table.add_column("strongest", ratio=2, overflow="fold")
    for row in board.in_order():
        strongest = row.strengths.strengths[:1] if row.strengths else ()
        summary = row.summary.overall_summary if row.summary else ""
        counts = _counts(row)
        table.add_row(
            escape(row.restaurant), *counts, escape(cut(summary, SUMMARY_SHOWN)), "".join(map(_brief, strongest))
        )
    return table


def report(board: Board, names: Mapping[str, str]) -> Table:
    """One block a restaurant, for `demo`: totals, the summary, strengths with lift and a quote."""
    table = Table(box=box.ROUNDED, show_lines=True)
    table.add_column("restaurant", no_wrap=True)
    table.add_column("totals", no_wrap=True)
    table.add_column("summary", ratio=4, overflow="fold")
    table.add_column("strengths: lift over its group, and a quote", ratio=5, overflow="fold")
    for row in board.in_order():
        name = names.get(row.restaurant)
        title = f"[bold]{escape(name)}[/bold]\n{escape(row.restaurant)}" if name else escape(row.restaurant)
        title += f"\n[dim]{escape(group_of(row) or '')}[/dim]"
        summary = escape(row.summary.overall_summary) if row.summary else "[dim]none yet[/dim]"
        table.add_row(title, _totals(row.totals), summary, _strengths(row.strengths))
    return table


def lift(strength: Strength) -> str:
    """How many times as often as in the group; where the group never says it, only here."""
    return "only here" if strength.lift is None else f"×{strength.lift:.1f}"


def cut(text: str, length: int) -> str:
    """At most `length` characters, an ellipsis where it was longer."""
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"


def _caption(board: Board) -> str:
    by_outcome = ", ".join(f"{count} {outcome}" for outcome, count in sorted(board.outcomes.items()))
    parts = [
        f"{len(board.rows)} restaurants",
        f"{board.outcomes.total()} results{f' ({by_outcome})' if by_outcome else ''}",
        *([f"{board.unreadable} records could not be read"] if board.unreadable else []),
    ]
    return ", ".join(parts)


def _counts(row: Row) -> tuple[str, str, str, str]:
    """Reviews that stand, and whole percents; before totals have come, the results seen."""
    t = row.totals
    if t is None:
        return (str(row.results), "", "", "")
    return (str(t.total_count), f"{t.positive_ratio}%", f"{t.negative_ratio}%", f"{t.neutral_ratio}%")


def _totals(totals: SentimentTotals | None) -> str:
    if totals is None:
        return "[dim]no reviews[/dim]"
    return (
        f"{totals.total_count} reviews\n"
        f"[green]+ {totals.positive_count} ({totals.positive_ratio}%)[/green]\n"
        f"[red]− {totals.negative_count} ({totals.negative_ratio}%)[/red]\n"
        f"○ {totals.neutral_count} ({totals.neutral_ratio}%)"
    )


def _strengths(strengths: RestaurantStrengths | None) -> str:
    if strengths is None:
        return "[dim]none yet[/dim]"
    shown = [_full(strength) for strength in strengths.strengths[:STRENGTHS_SHOWN]]
    left = len(strengths.strengths) - len(shown)
    lines = [*shown, f"[dim]and {left} more[/dim]"] if left else shown
    return "\n".join(lines) or f"[dim]none stands out among {strengths.compared_with} others[/dim]"


def _brief(strength: Strength) -> str:
    return f"[bold]{escape(strength.aspect)}[/bold] {lift(strength)} {escape(strength.claim)}"


def _full(strength: Strength) -> str:
    quotes = [evidence.quote for evidence in strength.evidence[:1]]
    said = "".join(f"\n  [italic]“{escape(cut(quote, QUOTE_SHOWN))}”[/italic]" for quote in quotes)
    return f"[bold]{escape(strength.aspect)}[/bold] {lift(strength)}, {strength.support_count} reviews{said}"
