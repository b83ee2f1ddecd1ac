"""Who kills the engine: what was in flight when it died is tried in halves, until a killer stands alone.

Adaptive group testing by binary splitting (Hwang, A Method for Detecting All Defective Members in a Population by
Group Testing, 1972): a half that the engine outlives is cleared whole, a half that it dies of is halved again. With
items that always kill, K killers among at most N in flight cost at most K x (ceil(log2 N) + 3) deaths.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

ALONE_DEATHS = 3
"""Deaths that an item must have been alone in flight at, before it is to blame."""
MAX_SUSPECTS = 50_000
MAX_KILLERS = 1_000
"""What is remembered at most. Names that never come back (another member has them now) are forgotten, oldest first."""


@dataclass(frozen=True, slots=True)
class Known:
    """What outlives the process: the groups in the order of their trials, deaths alone, and who was convicted."""

    groups: tuple[tuple[str, ...], ...] = ()
    deaths: dict[str, int] = field(default_factory=dict)
    killers: tuple[str, ...] = ()


class Suspects:
    """Names of items that may have killed the engine, in groups: each group is tried apart from everything else."""

    def __init__(self, known: Known | None = None) -> None:
        known = known or Known()
        self._groups: dict[int, dict[str, None]] = {}
        self._group_of: dict[str, int] = {}
        self._first, self._last = 0, -1
        for group in known.groups:
            self._append(group)
        self._deaths = Counter(known.deaths)
        self._killers = dict.fromkeys(known.killers)

    def __len__(self) -> int:
        """Suspects that are not cleared yet, and not convicted."""
        return len(self._group_of)

    def __contains__(self, name: object) -> bool:
        """Whether it must not be in flight together with others that are not suspected."""
        return name in self._group_of

    def is_killer(self, name: str) -> bool:
        """Whether it was alone in flight at `ALONE_DEATHS` deaths: never to be tried again."""
        return name in self._killers

    def died(self, in_flight: Sequence[str]) -> None:
        """The engine died with these in flight. Several are halved; one that was alone is counted, then convicted."""
        names = [name for name in dict.fromkeys(in_flight) if name not in self._killers]
        for name in names:
            self._remove(name)
        if len(names) == 1:
            self._died_alone(names[0])
        elif names:
            self._forget_oldest(MAX_SUSPECTS - len(names))
            self._append(names[: len(names) // 2])
            self._append(names[len(names) // 2 :])

    def outlived(self, name: str) -> None:
        """The engine has answered it: cleared, whatever was counted against it."""
        self._remove(name)
        self._deaths.pop(name, None)

    def next_trial(self, present: Iterable[str]) -> list[str]:
        """Of those that are here to be tried, the members of the first group; nothing else may be in flight then."""
        here = [name for name in present if name in self._group_of]
        first = min((self._group_of[name] for name in here), default=None)
        return [name for name in here if self._group_of[name] == first]

    def known(self) -> Known:
        """What a next process must know."""
        groups = (tuple(self._groups[place]) for place in sorted(self._groups))
        return Known(tuple(groups), dict(self._deaths), tuple(self._killers))

    def _died_alone(self, name: str) -> None:
        self._deaths[name] += 1
        if self._deaths[name] < ALONE_DEATHS:
            self._first -= 1  # its verdict needs nobody else: it is tried again before the others
            self._put(self._first, [name])
            return
        del self._deaths[name]
        self._killers[name] = None
        if len(self._killers) > MAX_KILLERS:
            del self._killers[next(iter(self._killers))]

    def _append(self, names: Iterable[str]) -> None:
        self._last += 1
        self._put(self._last, names)

    def _put(self, place: int, names: Iterable[str]) -> None:
        self._groups[place] = dict.fromkeys(names)
        self._group_of.update(dict.fromkeys(self._groups[place], place))

    def _remove(self, name: str) -> None:
        place = self._group_of.pop(name, None)
        if place is None:
            return
        del self._groups[place][name]
        if not self._groups[place]:
            del self._groups[place]

    def _forget_oldest(self, most: int) -> None:
        for place in sorted(self._groups):
            if len(self) <= most:
                return
            for name in list(self._groups[place]):
                self.outlived(name)


class Progress(NamedTuple):
    """What restarts have brought so far."""

    fruitless: int = 0
    """Failures of the engine in a row that brought nothing: no answer since, and no smaller set of suspects."""
    smallest: int | None = None
    """Fewest items in flight at a death since the last answer."""

    def answered(self) -> "Progress":
        """The engine has answered: all is forgotten."""
        return Progress()

    def failed(self, in_flight: int | None = None) -> "Progress":
        """The engine did not start (None), or died with so many in flight: fewer than ever since an answer is progress.

        A conviction alone is none: an engine that dies of every item is broken, and convicts few before that is clear.
        """
        if not in_flight:
            return self._replace(fruitless=self.fruitless + 1)
        if self.smallest is not None and in_flight < self.smallest:
            return Progress(0, in_flight)
        return Progress(self.fruitless + 1, min(in_flight, self.smallest or in_flight))
