"""Records whose header names are not UTF-8, delivered like any other.

Kafka's protocol says that a header's name is UTF-8, and no broker checks it. aiokafka decodes names strictly, in C: one
bad name makes `getmany` raise for ever, and the good records before it never arrive. aiokafka has no way to say
otherwise, so the class that its fetcher reads batches with is replaced by one that reads such a batch a second time, in
Python, with the names' bytes escaped (`surrogateescape`). Batches without bad names go the fast way, as before.
"""

import struct
from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy, _DefaultRecordPy
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint

_LENGTH_OFFSET = 8
"""Of a batch's length, behind its base offset; the batch begins to be counted after both."""
_OVERHEAD = 12


def read_any_header_name() -> None:
    """From now on every consumer of this process reads them. Safe to call again."""
    fetcher.MemoryRecords = _Records


class _Records:
    """What the fetcher asks of fetched bytes: the batches, one after another."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = memoryview(raw), 0
        self._batches = MemoryRecords(raw)

    def size_in_bytes(self) -> int:
        return int(self._batches.size_in_bytes())

    def has_next(self) -> bool:
        return bool(self._batches.has_next())

    def next_batch(self) -> "_Batch | None":
        batch = self._batches.next_batch()
        if batch is None:
            return None
        (length,) = struct.unpack_from(">i", self._raw, self._at + _LENGTH_OFFSET)
        begin, self._at = self._at, self._at + _OVERHEAD + length
        return _Batch(batch, self._raw[begin : self._at])


class _Batch:
    """aiokafka's batch, and its bytes."""

    def __init__(self, batch: Any, raw: memoryview) -> None:
        self._batch, self._raw = batch, raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        given = 0
        try:
            for record in self._batch:
                yield record
                given += 1
        except (UnicodeDecodeError, CorruptRecordException) as error:  # the second in aiokafka's own Python version
            if not isinstance(error.__cause__ or error, UnicodeDecodeError):
                raise
            yield from _Lenient(self._raw).from_record(given)


class _Lenient(_DefaultRecordBatchPy):  # type: ignore[misc] # aiokafka ships no types
    """A batch of the second format, the only one with headers, read without strictness about their names."""

    def from_record(self, index: int) -> Iterator[Any]:
        """Its records from that one on. Its checksum has been compared by now."""
        self._maybe_uncompress()
        self._at = int(self._pos)
        for number in range(self._num_records):
            record = self._lenient_record()
            if number >= index:
                yield record

    def _lenient_record(self) -> Any:
        """Format: https://kafka.apache.org/documentation/#record."""
        length, at = decode_varint(self._buffer, self._at)
        end = at + length
        _, at = decode_varint(self._buffer, at)  # attributes: none are defined
        later, at = decode_varint(self._buffer, at)
        timestamp = self.max_timestamp if self.timestamp_type == self.LOG_APPEND_TIME else self.first_timestamp + later
        delta, at = decode_varint(self._buffer, at)
        key, at = self._bytes(at)
        value, at = self._bytes(at)
        count, at = decode_varint(self._buffer, at)
        headers = []
        for _ in range(count):
            name, at = self._bytes(at)
            content, at = self._bytes(at)
            headers.append(((name or b"").decode("utf-8", "surrogateescape"), content))
        if at != end:
            raise CorruptRecordException(f"a record of {length} bytes ends {at - end} bytes from its end")
        self._at = end
        return _DefaultRecordPy(self.base_offset + delta, timestamp, self.timestamp_type, key, value, headers)

    def _bytes(self, at: int) -> tuple[bytes | None, int]:
        size, at = decode_varint(self._buffer, at)
        return (bytes(self._buffer[at : at + size]), at + size) if size >= 0 else (None, at)
