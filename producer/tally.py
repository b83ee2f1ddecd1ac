"""Whether every record sent was answered or dead-lettered, and whether the results have settled: pure."""

from dataclasses import dataclass, field

from producer.board import Board

QUIET_SECONDS = 3.0
"""Without a new summary or strength for so long, those that are there are the last."""


@dataclass(slots=True)
class Tally:
    """Source records (`topic/partition/offset`) by what became of them. A repeat of a result counts once."""

    sent: int = 0
    answered: set[str] = field(default_factory=set)
    dead: set[str] = field(default_factory=set)
    last_job: float = 0.0
    """When the last summary or strength came, seconds."""

    def answer(self, ce_id: str | None) -> None:
        """Count a sentiment result by its `ce_id`: `{topic}/{partition}/{offset}/{kind}`."""
        self.answered.add((ce_id or "").rpartition("/")[0])

    def dead_letter(self, source: str | None) -> None:
        """Count a dead letter by its `dlq.source`."""
        self.dead.add(source or "")

    @property
    def accounted(self) -> int:
        """Records with a result or a dead letter."""
        return len(self.answered | self.dead)

    def settled(self, board: Board, now: float) -> bool:
        """Whether all is answered, every restaurant has its summary and strengths, and no new ones come."""
        return self.accounted >= self.sent and not unfinished(board) and now - self.last_job >= QUIET_SECONDS

    def complaints(self, read: int) -> list[str]:
        """Why the numbers do not add up; nothing if they do. `read` is how many records the group has committed."""
        found = []
        if read != self.sent:
            found.append(f"{self.sent} records were sent, but {read} are committed as read")
        if lost := self.sent - self.accounted:
            found.append(f"{lost} records have neither a result nor a dead letter")
        if both := self.answered & self.dead:
            found.append(f"{len(both)} records have both a result and a dead letter: {', '.join(sorted(both)[:3])}")
        return found


def unfinished(board: Board) -> list[str]:
    """Restaurants with reviews that lack a summary or strengths."""
    return [
        row.restaurant
        for row in board.in_order()
        if row.totals is not None and row.totals.total_count and not (row.summary and row.strengths)
    ]
