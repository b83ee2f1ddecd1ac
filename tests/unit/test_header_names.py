"""Header names that are not UTF-8: aiokafka reads past them, and a dead letter keeps them byte for byte."""

import pytest
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from hypothesis import given
from hypothesis import strategies as st

from consumer.errors import DeadLetter
from consumer.kafka.header_names import _Records
from consumer.pipeline import outputs
from consumer.stream.record import check_header_names
from schemas.headers import escaped_headers, unescaped_headers
from tests.integration.raw_headers import RawName
from tests.unit.records import FakeRecord

NAMES = st.binary(max_size=12) | st.sampled_from([b"ok", "이름".encode(), b"\xff", b"\xed\xa0\x80", b""])
HEADERS = st.lists(st.tuples(NAMES, st.none() | st.binary(max_size=12)), max_size=4)
RECORDS = st.lists(st.tuples(st.none() | st.binary(max_size=9), st.none() | st.binary(max_size=9), HEADERS), max_size=6)


def batch(records: list[tuple[bytes | None, bytes | None, list[tuple[bytes, bytes | None]]]], codec: int) -> bytes:
    """A batch as a broker keeps it."""
    builder = _DefaultRecordBatchBuilderPy(2, codec, False, 7, 0, 0, 1_000_000)
    for offset, (key, value, headers) in enumerate(records):
        pairs = [(RawName(name), content) for name, content in headers]
        assert builder.append(offset, 1_700_000_000_000 + offset, key, value, pairs)
    return bytes(builder.build())


def read(raw: bytes) -> list[tuple[int, int, bytes | None, bytes | None, list[tuple[bytes, bytes | None]]]]:
    """All records of all batches, as the fetcher goes through them."""
    records, found = _Records(raw), []
    assert records.size_in_bytes() == len(raw)
    while records.has_next():
        one = records.next_batch()
        assert one is not None
        assert one.validate_crc()
        assert not one.is_control_batch
        for record in one:
            names = [(name.encode("utf-8", "surrogateescape"), value) for name, value in record.headers]
            found.append((record.offset, record.timestamp, record.key, record.value, names))
    assert records.next_batch() is None
    return found


@given(st.lists(RECORDS.filter(bool), min_size=1, max_size=3), st.sampled_from([0, 1, 4]))
def test_every_record_is_read_as_it_was_written(batches: list[list], codec: int) -> None:  # type: ignore[type-arg]
    """Whatever the names are, in each codec (none, gzip, zstd), before and behind a bad one."""
    raw = b"".join(batch(records, codec) for records in batches)
    wanted = [
        (offset, 1_700_000_000_000 + offset, key, value, headers)
        for records in batches
        for offset, (key, value, headers) in enumerate(records)
    ]
    assert read(raw) == wanted


def test_a_batch_that_is_cut_or_broken_is_not_read_past() -> None:
    """What is no batch stays an error, or unread, as in aiokafka."""
    raw = batch([(b"k", b"v", [(b"\xff", b"1")])], 0)
    assert read(raw[:-1]) == []
    broken = bytearray(raw)
    broken[-1] ^= 1
    records = _Records(bytes(broken))
    one = records.next_batch()
    assert one is not None
    assert not one.validate_crc()


@given(HEADERS)
def test_headers_come_back_out_of_base64(headers: list[tuple[bytes, bytes]]) -> None:
    """Names, values, nulls and their order."""
    pairs = tuple((name.decode("utf-8", "surrogateescape"), value) for name, value in headers)
    assert unescaped_headers(escaped_headers(pairs)) == pairs


@pytest.mark.parametrize("value", [b"", b"{}", b"[1]", b'[["a"]]', b'[["?", "?"]]', b'[[1, "YQ=="]]', b"\xff"])
def test_what_is_no_base64_is_refused(value: bytes) -> None:
    """A stranger's header under this name is no reason to fail otherwise."""
    if value == b"{}":
        assert unescaped_headers(value) == ()
        return
    with pytest.raises(ValueError):  # noqa: PT011 - any of its kinds
        unescaped_headers(value)


def test_a_dead_letter_keeps_such_headers_in_one() -> None:
    """All of them, so that their order is kept; the reason counts the header, and quotes nothing."""
    record = FakeRecord(headers=(("ok", b"1"), ("\udcff\udcfe", b"\x00"), ("dlq.attempts", b"2")))
    with pytest.raises(DeadLetter, match="the name of header 2 of 3 is not UTF-8") as fault:
        check_header_names(record)
    letter = outputs.dead_letter("dlq", record, fault.value, 1, 0.0)
    names = [name for name, _ in letter.headers]
    assert names[0] == "dlq.headers"
    assert all(name.startswith("dlq.") for name in names)
    assert unescaped_headers(letter.headers[0][1]) == record.headers[:2]
    assert dict(letter.headers)["dlq.attempts"] == b"3"
    assert dict(letter.headers)["dlq.reason"] == b"invalid_header"


def test_korean_names_are_names() -> None:
    """Only bytes that are no UTF-8 are refused."""
    check_header_names(FakeRecord(headers=(("이름", b"1"), ("😀", b""), ("", b""))))
