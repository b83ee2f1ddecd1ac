"""Who is in which comparison group, and what each member is compared with. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

from consumer.stream.state import StrengthState
from schemas.results import RestaurantSummary

Member = tuple[str, str]
"""(comparison group or "", restaurant id as text)."""

_BYTES = 16
_ALL = 1 << 8 * _BYTES


@dataclass(frozen=True, slots=True)
class Basis:
    """What a member's strengths would be made from now."""

    version: int
    """Of its own summary."""
    others: str
    """Digest of the others' summaries, whatever their order; "" where there are none."""
    changes: int
    """The others' versions added up: rises by one with each change of theirs."""


@dataclass(slots=True)
class _Group:
    members: dict[str, RestaurantSummary] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)
    digest: int = 0
    versions: int = 0


class Members:
    """The table of a by-group lane. A basis takes constant time, whatever the size of the group."""

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}

    def __iter__(self) -> Iterator[Member]:
        """All members."""
        return ((name, restaurant) for name, group in self._groups.items() for restaurant in group.members)

    def get(self, member: Member) -> RestaurantSummary | None:
        """Its summary; None where it is no member."""
        group = self._groups.get(member[0])
        return group.members.get(member[1]) if group else None

    def put(self, member: Member, summary: RestaurantSummary) -> None:
        """It is a member, with this summary."""
        self.remove(member)
        group = self._groups.setdefault(member[0], _Group())
        weight = _weight(member[1], summary.version)
        group.members[member[1]], group.weights[member[1]] = summary, weight
        group.digest, group.versions = (group.digest + weight) % _ALL, group.versions + summary.version

    def remove(self, member: Member) -> None:
        """It is none, or not any more."""
        group = self._groups.get(member[0])
        if group is None or (summary := group.members.pop(member[1], None)) is None:
            return
        group.digest = (group.digest - group.weights.pop(member[1])) % _ALL
        group.versions -= summary.version
        if not group.members:
            del self._groups[member[0]]

    def compared(self, member: Member) -> tuple[str, ...]:
        """The restaurants it is compared with; none without a group."""
        group = self._groups.get(member[0]) if member[0] else None
        return tuple(restaurant for restaurant in group.members if restaurant != member[1]) if group else ()

    def others(self, member: Member) -> tuple[RestaurantSummary, ...]:
        """Their summaries."""
        return tuple(self._groups[member[0]].members[restaurant] for restaurant in self.compared(member))

    def basis(self, member: Member) -> Basis | None:
        """What its strengths would be made from; None where it is no member."""
        group = self._groups.get(member[0])
        if group is None or (own := group.members.get(member[1])) is None:
            return None
        if not member[0] or len(group.members) == 1:
            return Basis(own.version, "", 0)
        others = (group.digest - group.weights[member[1]]) % _ALL
        return Basis(own.version, f"{others:0{2 * _BYTES}x}", group.versions - own.version)


@dataclass(frozen=True, slots=True)
class Debounce:
    """When strengths are made anew: at once for the member that changed, for the others after so many, or so long."""

    refresh_members: int
    max_age: float
    """Seconds."""

    def due(self, basis: Basis, last: StrengthState, now: float) -> float | None:
        """When a member's strengths are due; None where they are as they should be, or parked."""
        if last.parked and last.tried == basis.version:
            return None
        if last.version != basis.version:
            return now
        if last.others == basis.others:
            return None
        many = abs(basis.changes - last.changes) >= self.refresh_members
        return now if many else now + self.max_age


def _weight(restaurant: str, version: int) -> int:
    text = f"{version}/{restaurant}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=_BYTES).digest())
