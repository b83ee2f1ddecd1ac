"""Dead letters, read back: which of them are meant, which have been replayed, and what a replay makes of one.

What was replayed is remembered by the offsets of consumer groups, one for each selection, whose names say what was
selected: all letters below such an offset that its selection matches have been replayed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlencode

from consumer.stream.record import Headers, Output, Partition, Record, is_escaped
from schemas.headers import ATTEMPTS, DLQ_PREFIX, ESCAPED, unescaped_headers
from schemas.topics import KeyPartitioner, partitioner

MAX_ATTEMPTS = 20
"""A letter with so many attempts behind it, over all its lives, is not replayed unless somebody insists."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter and what its headers say; what they do not say is empty."""

    place: tuple[int, int]
    """Partition and offset, among the dead letters."""
    reason: str
    error: str
    attempts: int
    source: Partition | None
    source_offset: int
    failed_at: datetime | None
    service: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    """The original's."""
    timestamp: int
    """The original's, milliseconds since 1970; -1: none."""


def read_letter(record: Record) -> Letter:
    """Read a record of the dead letters' topic; whatever lies there is one."""
    said = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers if is_ours(name)}
    source, offset = _source(said.get("dlq.source", ""))
    return Letter(
        place=(record.partition, record.offset),
        reason=said.get("dlq.reason", ""),
        error=said.get("dlq.error", ""),
        attempts=_number(said.get(ATTEMPTS, "")),
        source=source,
        source_offset=offset,
        failed_at=_moment(said.get("dlq.failed_at", "")),
        service=said.get("dlq.service", ""),
        key=record.key,
        value=record.value,
        headers=_original(record.headers),
        timestamp=record.timestamp,
    )


def is_ours(name: str) -> bool:
    """Whether a header is one of a dead letter's own."""
    return name.startswith(DLQ_PREFIX)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters are meant: those that match all that is given."""

    reasons: frozenset[str] = frozenset()
    """None: any."""
    since: datetime | None = None
    until: datetime | None = None
    """By the time of failure: from `since` on, before `until`. A letter without a time matches neither."""
    key: bytes | None = None
    below_attempts: int | None = None
    """Fewer attempts than this."""

    def matches(self, letter: Letter) -> bool:
        """Whether a letter is meant."""
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (self.key is None or letter.key == self.key)
            and (self.below_attempts is None or letter.attempts < self.below_attempts)
            and self._in_time(letter.failed_at)
        )

    def _in_time(self, moment: datetime | None) -> bool:
        if moment is None:
            return self.since is None and self.until is None
        return (self.since is None or self.since <= moment) and (self.until is None or moment < self.until)

    def name(self) -> str:
        """The selection as text, the same for the same one: `parse_selection` reads it."""
        pairs = [("reason", reason) for reason in sorted(self.reasons)]
        pairs += [("since", self.since.isoformat())] if self.since else []
        pairs += [("until", self.until.isoformat())] if self.until else []
        pairs += [("key", self.key.hex())] if self.key is not None else []
        pairs += [("attempts", str(self.below_attempts))] if self.below_attempts is not None else []
        return urlencode(pairs) or "all"


def parse_selection(name: str) -> Selection:
    """Read what `Selection.name` gave; ValueError where it was no name of this version."""
    if name == "all":
        return Selection()
    if not name:
        raise ValueError("no name of a selection")
    found = Selection()
    for field_name, text in parse_qsl(name, strict_parsing=True, keep_blank_values=True):
        match field_name:
            case "reason":
                found = replace(found, reasons=found.reasons | {text})
            case "since":
                found = replace(found, since=datetime.fromisoformat(text))
            case "until":
                found = replace(found, until=datetime.fromisoformat(text))
            case "key":
                found = replace(found, key=bytes.fromhex(text))
            case "attempts":
                found = replace(found, below_attempts=int(text))
            case _:
                raise ValueError(f"no selection of this version: {name}")
    return found


@dataclass(frozen=True, slots=True)
class Replayed:
    """What earlier replays did: of each selection how far it has come in each partition of the dead letters."""

    progress: Sequence[tuple[Selection, Mapping[int, int]]] = ()

    def holds(self, letter: Letter) -> bool:
        """Whether one of them has replayed this letter."""
        partition, offset = letter.place
        return any(offset < at.get(partition, 0) and selection.matches(letter) for selection, at in self.progress)


@dataclass(frozen=True, slots=True)
class Replaying:
    """Makes replays of letters. `partitions`: of the topics that a letter may go back to."""

    partitions: Mapping[str, int]
    keyed_topic: str
    """The reviews': what lies there has a place by its key."""
    kind: KeyPartitioner

    def replay(self, letter: Letter) -> Output | None:
        """The original for its topic again, attempts marked; None where it came from another topic than ours.

        Headers whose names are not UTF-8 are left out: with them it would be a dead letter again.
        """
        if letter.source is None or letter.source.topic not in self.partitions:
            return None
        topic, number = letter.source
        headers = tuple((name, value) for name, value in letter.headers if not is_escaped(name))
        mark = (ATTEMPTS, str(letter.attempts).encode())
        place = self._place(topic, number, letter.key)
        timestamp = letter.timestamp if letter.timestamp >= 0 else None
        return Output(topic, letter.key, letter.value, place, (*headers, mark), timestamp)

    def _place(self, topic: str, number: int, key: bytes | None) -> int | bytes:
        """Where the key belongs; else where it lay, if that partition is still there."""
        by_key = partitioner(self.kind)
        if topic == self.keyed_topic and key and by_key:
            return by_key(key, self.partitions[topic])
        return number if number < self.partitions[topic] else (key or b"")


@dataclass(slots=True)
class ReasonCount:
    """Letters of one reason and one source topic."""

    count: int = 0
    replayed: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None
    last: tuple[int, int] | None = None
    """Partition and offset of the newest."""

    def add(self, letter: Letter, *, replayed: bool) -> None:
        """Count one in."""
        self.count += 1
        self.replayed += replayed
        moment = letter.failed_at
        if self.last is None or (moment is not None and (self.newest is None or moment >= self.newest)):
            self.last = letter.place
        if moment is not None:
            self.oldest = moment if self.oldest is None else min(self.oldest, moment)
            self.newest = moment if self.newest is None else max(self.newest, moment)


@dataclass(slots=True)
class Tally:
    """Letters by reason and source topic: bounded by these, however many letters there are."""

    reasons: dict[tuple[str, str], ReasonCount] = field(default_factory=dict)

    def add(self, letter: Letter, *, replayed: bool) -> None:
        """Count one in."""
        key = letter.reason, letter.source.topic if letter.source else ""
        self.reasons.setdefault(key, ReasonCount()).add(letter, replayed=replayed)

    @property
    def count(self) -> int:
        """All letters."""
        return sum(found.count for found in self.reasons.values())


def _original(headers: Headers) -> Headers:
    """As they came, taken out of base64 where they had to be put in."""
    escaped = next((value for name, value in headers if name == ESCAPED), None)
    if escaped is not None:
        try:
            return unescaped_headers(escaped)
        except ValueError:
            pass  # not written by us: nothing better is known than the headers as they are
    return tuple((name, value) for name, value in headers if not is_ours(name))


def _source(text: str) -> tuple[Partition | None, int]:
    topic, _, rest = text.partition("/")
    number, _, offset = rest.partition("/")
    if not (topic and number.isdecimal() and offset.isdecimal() and len(number) < 10 and len(offset) < 20):  # noqa: PLR2004 - what Kafka has
        return None, -1
    return Partition(topic, int(number)), int(offset)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0  # noqa: PLR2004 - a number, not a flood of digits


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
