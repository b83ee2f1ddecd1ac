"""Records as the stream sees them: what comes in, and what goes out."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from consumer.errors import DeadLetter
from consumer.values import value


class Partition(NamedTuple):
    """One partition of a topic."""

    topic: str
    partition: int


Headers = Sequence[tuple[str, bytes]]


class Record(Protocol):
    """A delivered record; aiokafka's own fits as it is."""

    @property
    def topic(self) -> str:
        """Topic."""

    @property
    def partition(self) -> int:
        """Partition."""

    @property
    def offset(self) -> int:
        """Offset."""

    @property
    def timestamp(self) -> int:
        """Milliseconds since 1970."""

    @property
    def key(self) -> bytes | None:
        """Key, as bytes."""

    @property
    def value(self) -> bytes | None:
        """Value, as bytes."""

    @property
    def headers(self) -> Headers:
        """Headers, in order; names may repeat. Bytes of a name that are not UTF-8 are escaped (`surrogateescape`)."""


@value
class Output:
    """A record to publish. A null value is a tombstone."""

    topic: str
    key: bytes | None
    value: bytes | None
    place: int | bytes | None
    """A partition number, or the bytes whose murmur2 decides; None: any partition."""
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp: int | None = None
    """Milliseconds since 1970; None: now."""
    origin: object = None
    """What it was made from, should Kafka refuse it; None: a dead letter, which cannot be replaced by another."""


def size_of(record: Record) -> int:
    """Bytes a record holds in memory, nearly."""
    headers = sum(len(name) + len(value or b"") for name, value in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers


def is_escaped(name: str) -> bool:
    """Whether a header's name is not UTF-8: no client that checks can write it."""
    return not name.isascii() and any("\ud800" <= letter <= "\udfff" for letter in name)


def check_header_names(record: Record) -> None:
    """Raise DeadLetter where a header's name is not UTF-8: what it means to others cannot be known, nor passed on."""
    for place, (name, _) in enumerate(record.headers, 1):
        if is_escaped(name):
            raise DeadLetter("invalid_header", f"the name of header {place} of {len(record.headers)} is not UTF-8")
