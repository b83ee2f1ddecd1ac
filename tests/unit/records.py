"""A delivered record for unit tests."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FakeRecord:
    """The fields of a delivered record."""

    topic: str = "restaurant.reviews"
    partition: int = 0
    offset: int = 0
    timestamp: int = 1_700_000_000_000
    key: bytes | None = b"1"
    value: bytes | None = b"{}"
    headers: tuple[tuple[str, bytes], ...] = ()
