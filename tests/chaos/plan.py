"""What happens when: a pure function of the seed. Kinds are dealt from a shuffled deck, so that all come, and often."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random


class Kind(StrEnum):
    """What is done to whom."""

    KILL = "kill"
    """SIGKILL a member; another takes its place after `lasts` seconds."""
    FREEZE = "freeze"
    """SIGSTOP a member, SIGCONT after `lasts` seconds: by then its partitions are others'."""
    RESTART = "restart"
    """SIGTERM a member and wait for its end; another takes its place after `lasts` seconds."""
    ADD = "add"
    """One member more."""
    REMOVE = "remove"
    """SIGTERM a member: one fewer."""
    BROKER = "broker"
    """Kill the broker; it is started again, on the same port and data, after `lasts` seconds."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing, `at` seconds after the start; `victim`, 0 to 1, picks one of the members that can be picked."""

    at: float
    kind: Kind
    lasts: float
    victim: float


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast it comes; spans are (shortest, longest) in seconds."""

    deck: Sequence[Kind]
    gap: tuple[float, float]
    """Between two happenings."""
    freeze: tuple[float, float]
    """Longer than the session time-out, so that the group goes on without the member; at times beyond a rebalance."""
    absence: tuple[float, float] = (0.0, 3.0)
    """Until the next member takes the place of one that was killed or stopped."""
    outage: tuple[float, float] = (0.5, 5.0)
    """Until the broker is started again; its start adds a few seconds."""
    members: tuple[int, int, int] = (2, 3, 5)
    """The fewest, at the start, the most."""


_DECK = [Kind.KILL] * 6 + [Kind.FREEZE] * 3 + [Kind.RESTART] * 2 + [Kind.BROKER] * 2 + [Kind.ADD, Kind.REMOVE]
LONG = Pace(tuple(_DECK), gap=(4.0, 11.0), freeze=(7.0, 25.0))
SHORT = Pace(
    (Kind.KILL, Kind.FREEZE, Kind.RESTART, Kind.BROKER),
    gap=(2.0, 3.0),
    freeze=(7.0, 8.0),
    absence=(0.0, 1.0),
    outage=(0.2, 0.5),
    members=(2, 2, 2),
)
"""One of each kind in about 12 s."""


def plan(seed: int, seconds: float, pace: Pace = LONG) -> list[Happening]:
    """All that happens within `seconds`, in time order. A freeze or an outage may end later."""
    random = Random(seed)
    spans = {Kind.FREEZE: pace.freeze, Kind.BROKER: pace.outage}
    fewest, count, most = pace.members
    happenings: list[Happening] = []
    at = 0.0
    for dealt in _dealt(pace.deck, random):
        at += random.uniform(*pace.gap)
        if at >= seconds:
            return happenings
        kind = _possible(dealt, count, fewest, most)
        count += (kind is Kind.ADD) - (kind is Kind.REMOVE)
        lasts = random.uniform(*spans.get(kind, pace.absence))
        happenings.append(Happening(at, kind, lasts, random.random()))
    raise AssertionError("the deck is dealt for ever")


def _dealt(deck: Sequence[Kind], random: Random) -> Iterator[Kind]:
    while True:
        yield from random.sample(deck, len(deck))


def _possible(kind: Kind, count: int, fewest: int, most: int) -> Kind:
    """Members stay between their fewest and their most: what would leave the span is turned round."""
    if kind is Kind.ADD and count >= most:
        return Kind.REMOVE
    if kind is Kind.REMOVE and count <= fewest:
        return Kind.ADD
    return kind
