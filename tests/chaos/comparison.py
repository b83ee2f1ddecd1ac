"""Input against output: what is lost, doubled, out of order, or not what it must be. Pure; a few bytes a record."""

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from schemas.base import Sentiment

EXAMPLES: Final = 5
"""So many of each kind of problem are named."""
NO_REVIEW: Final = -1
_LABELS: Final[tuple[Sentiment | None, ...]] = (None, *Sentiment)
_MANY: Final = 255


class Place(NamedTuple):
    """Partition and offset in the reviews topic."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Input:
    """A record of the reviews topic."""

    place: Place
    key: bytes
    review: int
    """Its review_id; NO_REVIEW for poison."""
    label: Sentiment | None = None
    """What the engine says of it; None for a deletion and for poison."""
    fingerprint: int | None = None
    """Of its bytes, where it must become a dead letter; None where it must get a result."""


@dataclass(frozen=True, slots=True)
class Result:
    """A SentimentResult. `source`: the record that it says it was made from."""

    partition: int
    source: Place
    review: int
    analyzed: bool
    label: Sentiment | None


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter. `fingerprint`: of its bytes without what was added."""

    partition: int
    source: Place
    fingerprint: int
    reason: str


@dataclass(frozen=True, slots=True)
class Problem:
    """So many cases of one kind, some of them named."""

    what: str
    count: int
    examples: tuple[str, ...]


class Tally:
    """Counts problems, and names the first few of each kind."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = {}

    def note(self, what: str, example: str, count: int = 1) -> None:
        """There are so many more of a kind."""
        self._counts[what] += count
        if len(named := self._examples.setdefault(what, [])) < EXAMPLES:
            named.append(example)

    def problems(self) -> list[Problem]:
        """All kinds that there are."""
        return [Problem(what, count, tuple(self._examples[what])) for what, count in self._counts.items()]


LOST, DOUBLED, DISORDERED = "lost", "doubled", "out of order"
MISJUDGED = "a result instead of a dead letter, or the other way round"
WRONG = "a result that is not its record's"
ALTERED = "a dead letter that is not its record, byte for byte"
UNKNOWN = "an output of a record that is not there"
TOTALS = "totals that are not the recount of the input"


@dataclass(slots=True)
class _Column:
    """The records of one partition, by rising offset."""

    offsets: "array[int]" = field(default_factory=lambda: array("q"))
    keys: "array[int]" = field(default_factory=lambda: array("l"))
    reviews: "array[int]" = field(default_factory=lambda: array("q"))
    labels: bytearray = field(default_factory=bytearray)
    results: bytearray = field(default_factory=bytearray)
    letters: bytearray = field(default_factory=bytearray)

    def find(self, offset: int) -> int | None:
        index = bisect_left(self.offsets, offset)
        return index if index < len(self.offsets) and self.offsets[index] == offset else None


class Ledger:
    """First every input by `enter`, then the outputs of each topic in the order of each of its partitions."""

    def __init__(self) -> None:
        self._columns: dict[int, _Column] = {}
        self._keys: dict[bytes, int] = {}
        self._fingerprints: dict[Place, int] = {}
        self._last: dict[tuple[str, int], int] = {}
        """(topic, key) → offset of the last record whose output appeared for the first time."""
        self._wrong = Tally()
        self.reasons: Counter[str] = Counter()
        """Dead letters by their reason."""
        self.results = 0
        self.letters = 0

    @property
    def records(self) -> int:
        """Inputs."""
        return sum(len(column.offsets) for column in self._columns.values())

    def enter(self, given: Input) -> None:
        """Take an input. Raises ValueError when its offset is not above the partition's last."""
        column = self._columns.setdefault(given.place.partition, _Column())
        if column.offsets and given.place.offset <= column.offsets[-1]:
            raise ValueError(f"{given.place} comes after offset {column.offsets[-1]}")
        column.offsets.append(given.place.offset)
        column.keys.append(self._keys.setdefault(given.key, len(self._keys)))
        column.reviews.append(given.review)
        column.labels.append(_LABELS.index(given.label))
        column.results.append(0)
        column.letters.append(0)
        if given.fingerprint is not None:
            self._fingerprints[given.place] = given.fingerprint

    def result(self, found: Result) -> None:
        """Take a result."""
        self.results += 1
        if (at := self._arrived("result", found.source)) is None:
            return
        column, index = at
        if found.source in self._fingerprints:
            self._wrong.note(MISJUDGED, f"{_name(found.source)} is poison and has a result")
        label = _LABELS[column.labels[index]]
        mislabelled = found.analyzed and (label is None or found.label != label)
        if mislabelled or (found.partition, found.review) != (found.source.partition, column.reviews[index]):
            self._wrong.note(WRONG, f"{_name(found.source)}: {found}")
        self._count(column.results, index)

    def letter(self, found: Letter) -> None:
        """Take a dead letter."""
        self.letters += 1
        self.reasons[found.reason] += 1
        if (at := self._arrived("letter", found.source)) is None:
            return
        column, index = at
        expected = self._fingerprints.get(found.source)
        if expected is None:
            self._wrong.note(MISJUDGED, f"{_name(found.source)} is a review and a dead letter: {found.reason}")
        elif expected != found.fingerprint:
            self._wrong.note(ALTERED, _name(found.source))
        self._count(column.letters, index)

    def problems(self) -> list[Problem]:
        """What is wrong, all outputs being in."""
        answered = Tally()
        for place, outputs in self._answered():
            if outputs == 0:
                answered.note(LOST, _name(place))
            elif outputs > 1:
                answered.note(DOUBLED, f"{_name(place)}: {outputs} outputs", outputs - 1)
        return answered.problems() + self._wrong.problems()

    def totals(self) -> dict[bytes, Counter[Sentiment]]:
        """A recount: by restaurant's key, the labels of the last event of each review; none is left out."""
        counted: dict[bytes, Counter[Sentiment]] = {}
        names = {number: key for key, number in self._keys.items()}
        for column in self._columns.values():
            last: dict[tuple[int, int], int] = {}
            for index, review in enumerate(column.reviews):
                if review != NO_REVIEW:
                    last[column.keys[index], review] = column.labels[index]
            for (key, _), number in last.items():
                counts = counted.setdefault(names[key], Counter())
                if (label := _LABELS[number]) is not None:
                    counts[label] += 1
        return counted

    def _answered(self) -> Iterator[tuple[Place, int]]:
        for partition, column in sorted(self._columns.items()):
            for index, offset in enumerate(column.offsets):
                yield Place(partition, offset), column.results[index] + column.letters[index]

    def _arrived(self, topic: str, source: Place) -> tuple[_Column, int] | None:
        """Find the input; the first output of a record must come after those of the records before it, by key."""
        column = self._columns.get(source.partition)
        index = column.find(source.offset) if column else None
        if column is None or index is None:
            self._wrong.note(UNKNOWN, f"{topic} of {_name(source)}")
            return None
        seen = column.results[index] if topic == "result" else column.letters[index]
        if not seen:
            key = column.keys[index]
            before = self._last.get((topic, key), -1)
            if source.offset < before:
                self._wrong.note(DISORDERED, f"{topic} of {_name(source)} after that of offset {before}")
            self._last[topic, key] = max(before, source.offset)
        return column, index

    @staticmethod
    def _count(outputs: bytearray, index: int) -> None:
        outputs[index] = min(_MANY, outputs[index] + 1)


def differing_totals(
    expected: Mapping[bytes, Counter[Sentiment]], found: Mapping[bytes, Counter[Sentiment]]
) -> Problem | None:
    """Compare totals by restaurant; one that is not there has counts of 0."""
    wrong = [
        f"{key.decode()}: {_shown(found.get(key, Counter()))}, recounted {_shown(expected.get(key, Counter()))}"
        for key in sorted({*expected, *found})
        if _shown(found.get(key, Counter())) != _shown(expected.get(key, Counter()))
    ]
    return Problem(TOTALS, len(wrong), tuple(wrong[:EXAMPLES])) if wrong else None


class Watermarks:
    """Committed offsets as they are sampled: invariant 1 says that they never go back."""

    def __init__(self) -> None:
        self._highest: dict[tuple[str, int], int] = {}
        self.fallbacks: list[str] = []

    def seen(self, committed: Mapping[tuple[str, int], int]) -> None:
        """Take a sample: (topic, partition) → committed offset. A partition may be missing."""
        for partition, offset in committed.items():
            before = self._highest.get(partition, 0)
            if offset < before:
                self.fallbacks.append(f"{partition[0]}/{partition[1]} from {before} to {offset}")
            self._highest[partition] = offset


def _shown(counts: Counter[Sentiment]) -> str:
    return "/".join(str(counts[label]) for label in Sentiment)


def _name(place: Place) -> str:
    return f"{place.partition}/{place.offset}"
