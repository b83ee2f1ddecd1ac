"""Records with header names that no client would write: the batch is built by aiokafka's own Python builder."""

from collections.abc import Sequence
from typing import Any, Self

from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

RawHeaders = Sequence[tuple[bytes, bytes | None]]


class RawName(str):
    """A header's name as bytes: what it encodes to is what it was made from."""

    __slots__ = ("raw",)
    raw: bytes

    def __new__(cls, raw: bytes) -> Self:
        """Any text will do."""
        made = super().__new__(cls, "raw")
        made.raw = raw
        return made

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """The bytes."""
        del encoding, errors
        return self.raw


def raw_batch(producer: AIOKafkaProducer, records: Sequence[tuple[bytes | None, bytes | None, RawHeaders]]) -> Any:
    """A batch for `send_batch`; key and value may both be null."""
    batch = producer.create_batch()
    batch._builder = _DefaultRecordBatchBuilderPy(2, 0, False, -1, -1, 0, 100_000_000)
    for key, value, headers in records:
        pairs = [(RawName(name), content) for name, content in headers]
        assert batch.append(timestamp=None, key=key, value=value, headers=pairs) is not None
    batch.close()
    return batch
