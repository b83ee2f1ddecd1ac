"""Summaries and strengths against totals: each must reflect the last state, and none may come twice. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.chaos.comparison import Problem, Tally

STALE: Final = "a last summary that does not count what the totals count"
BEHIND: Final = "last strengths that are not those of the last summary"
REPEATED: Final = "a summary or strengths published twice"

Counts = tuple[int, int, int]
"""Positive, negative and all reviews."""


@dataclass(frozen=True, slots=True)
class Made:
    """A job's output."""

    ce_id: str
    version: int
    counts: Counts = (0, 0, 0)


@dataclass(slots=True)
class JobLedger:
    """The last record of each key, None for a tombstone; and how often each id came."""

    totals: dict[bytes, Counts | None] = field(default_factory=dict)
    summaries: dict[bytes, Made | None] = field(default_factory=dict)
    members: dict[bytes, Made | None] = field(default_factory=dict)
    """Summaries by group and restaurant."""
    strengths: dict[bytes, Made | None] = field(default_factory=dict)
    _ids: Counter[str] = field(default_factory=Counter)

    def summary(self, key: bytes, made: Made | None) -> None:
        """Take a summary."""
        self.summaries[key] = made
        self._ids.update([made.ce_id] if made else [])

    def strength(self, key: bytes, made: Made | None) -> None:
        """Take strengths."""
        self.strengths[key] = made
        self._ids.update([made.ce_id] if made else [])

    @property
    def made(self) -> tuple[int, int]:
        """Restaurants with a summary, members with strengths."""
        return sum(map(bool, self.summaries.values())), sum(map(bool, self.strengths.values()))

    def owed(self) -> list[str]:
        """What is still to come, by topic and key."""
        return [*(f"summary {what}" for what in self._stale()), *(f"strengths {what}" for what in self._behind())]

    def problems(self) -> list[Problem]:
        """What is wrong when nothing more comes."""
        wrong = Tally()
        for what in self._stale():
            wrong.note(STALE, what)
        for what in self._behind():
            wrong.note(BEHIND, what)
        for ce_id, count in self._ids.items():
            if count > 1:
                wrong.note(REPEATED, f"{ce_id}: {count} times", count - 1)
        return wrong.problems()

    def _stale(self) -> Iterator[str]:
        counts = {key: made and made.counts for key, made in self.summaries.items()}
        return _differing(self.totals, counts)

    def _behind(self) -> Iterator[str]:
        versions, behind = ({key: made and made.version for key, made in of.items()} for of in self._sides())
        return _differing(versions, behind)

    def _sides(self) -> tuple[dict[bytes, Made | None], dict[bytes, Made | None]]:
        return self.members, self.strengths


def _differing(expected: Mapping[bytes, object], found: Mapping[bytes, object]) -> Iterator[str]:
    """A key that is not there is as one with a tombstone."""
    for key in sorted({*expected, *found}):
        if expected.get(key) != found.get(key):
            yield f"{key.decode()}: {found.get(key)}, expected {expected.get(key)}"
