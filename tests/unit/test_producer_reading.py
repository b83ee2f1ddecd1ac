"""Lines of a file become events; each bad one is named with its number and reason, the rest is read."""

import codecs
import json
from pathlib import Path

import pytest

from producer import sample
from producer.errors import CannotGoOn
from producer.reading import BadLine, Format, Line, ReviewLine, format_of, read
from schemas.codec import decode_review

GOOD = '{"review_id":1,"restaurant_id":"집 1","content":"맛있어요","from":"ios"}'
HEADER = "review_id,restaurant_id,content,version,rating,is_recommended,created_at\n"


def jsonl(text: str | bytes) -> list[Line]:
    """Read JSON lines."""
    return list(read((text.encode() if isinstance(text, str) else text).splitlines(keepends=True), Format.JSONL))


def rows(text: str | bytes) -> list[Line]:
    """Read CSV."""
    return list(read((text.encode() if isinstance(text, str) else text).splitlines(keepends=True), Format.CSV))


def event(line: Line) -> object:
    """Parse the value of a good line."""
    assert isinstance(line, ReviewLine), line
    return json.loads(line.value)


def reason(line: Line) -> str:
    """Tell why a line is bad."""
    assert isinstance(line, BadLine), line
    return line.reason


def test_a_json_line_is_sent_as_it_is() -> None:
    """Unknown fields and the spelling stay; the key is the restaurant's id as text."""
    assert jsonl(f"  {GOOD}\r\n") == [ReviewLine(1, "집 1".encode(), GOOD.encode())]


def test_bad_lines_are_named_and_the_rest_is_read() -> None:
    """Blank lines count as lines and are no events."""
    found = jsonl(f'{GOOD}\n\nnope\n{GOOD}\n{{"review_id":1}}\n[1]\n{GOOD}')
    assert [(type(line), line.number) for line in found] == [
        (ReviewLine, 1),
        (BadLine, 3),
        (ReviewLine, 4),
        (BadLine, 5),
        (BadLine, 6),
        (ReviewLine, 7),
    ]
    assert "not JSON" in reason(found[1])
    assert reason(found[3]) == "restaurant_id: Field required; content: Field required"
    assert "an object is expected" in reason(found[4])


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("rating", "9", "rating: Input should be less than or equal to 5"),
        ("version", "-1", "version: Input should be greater than or equal to 0"),
        ("priority", '"soon"', "priority: Input should be 'high', 'normal' or 'low'"),
        ("created_at", '"gestern"', "created_at: an RFC 3339 text is expected, such as"),
        ("is_recommended", '"yes"', "is_recommended: Input should be a valid boolean"),
    ],
)
def test_a_bad_optional_field_is_a_bad_line_and_says_what_is_allowed(field: str, value: str, says: str) -> None:
    """The consumer would drop the field: whoever sends a file is told instead."""
    (line,) = jsonl(GOOD.replace('"from":"ios"', f'"{field}":{value}'))
    assert reason(line).startswith(says)


def test_a_byte_order_mark_is_skipped_and_other_encodings_are_named() -> None:
    """The mark of UTF-8 at the start only; a line in another encoding spoils no other."""
    found = jsonl(codecs.BOM_UTF8 + GOOD.encode() + b"\n" + GOOD.encode("cp949") + b"\n" + GOOD.encode())
    assert isinstance(found[0], ReviewLine)
    assert "is not UTF-8; save the file as UTF-8" in reason(found[1])
    assert isinstance(found[2], ReviewLine)


def test_the_texts_of_reviews_are_not_in_the_reasons() -> None:
    """What is reported goes to a terminal, or a log."""
    (line,) = jsonl('{"review_id":[],"restaurant_id":1,"content":["비밀"]}')
    assert "비밀" not in reason(line)


def test_csv_cells_become_typed_fields() -> None:
    """Ids and texts stay text, numbers and booleans are read as such, an empty cell is no field."""
    (line,) = rows(HEADER + '7,1,"맛있어요, ""진짜""\n또 올게요",3,4.5,TRUE,2026-04-14T18:42:10+09:00\n')
    assert event(line) == {
        "review_id": "7",
        "restaurant_id": "1",
        "content": '맛있어요, "진짜"\n또 올게요',
        "version": 3,
        "rating": 4.5,
        "is_recommended": True,
        "created_at": "2026-04-14T18:42:10+09:00",
    }
    (sparse,) = rows(HEADER + "7,1,,,,,\n")
    assert event(sparse) == {"review_id": "7", "restaurant_id": "1", "content": ""}


def test_a_row_over_several_lines_is_named_by_its_first() -> None:
    """A person looks for the row where it begins."""
    found = rows(HEADER + '1,1,"a\nb\nc",,,,\n2,2,b,x,,,\n')
    assert [line.number for line in found] == [2, 5]
    assert reason(found[1]) == "version: Input should be a valid integer"


@pytest.mark.parametrize("cell", ["nan", "Infinity", "1e999", "five", "[1]"])
def test_a_number_that_is_none_is_refused(cell: str) -> None:
    """Not a number and infinity are no JSON: they must not turn into null on the way."""
    (line,) = rows(HEADER + f"1,1,a,,{cell},,\n")
    assert reason(line).startswith("rating: ")


def test_rows_that_do_not_fit_the_header_are_named() -> None:
    """A comma without quotes is the usual cause; the rest is read."""
    found = rows(HEADER + "1,1,맛있어요, 진짜,,,,\n2,2,good,,,,\n3,3\n\n4,4,good,,,,\n")
    assert [(line.number, isinstance(line, ReviewLine)) for line in found] == [
        (2, False),
        (3, True),
        (4, False),
        (6, True),
    ]
    assert reason(found[0]).startswith("has 8 cells, the header has 7")


def test_bytes_that_are_no_utf8_spoil_their_own_row_only() -> None:
    """A mark at the start is skipped in CSV too."""
    text = codecs.BOM_UTF8 + HEADER.encode() + "1,1,맛".encode("cp949") + b",,,,\n2,2,good,,,,\n"
    found = rows(text)
    assert reason(found[0]) == "is not UTF-8; save the file as UTF-8"
    assert isinstance(found[1], ReviewLine)


def test_an_open_quote_is_named_with_its_row() -> None:
    """It swallows the rest of the file: the row where it opens is the one to mend."""
    found = rows(HEADER + '1,1,good,,,,\n2,2,"never closed,,,,\n3,3,good,,,,\n')
    assert isinstance(found[0], ReviewLine)
    assert found[1].number == 3
    assert reason(found[1]).startswith("not CSV: ")
    assert len(found) == 2


def test_a_header_without_the_required_columns_ends_the_reading() -> None:
    """Nothing can be read without it."""
    (line,) = rows("id,text\n1,a\n2,b\n")
    assert line == BadLine(1, "the header lacks review_id, restaurant_id, content: the first row names the fields")
    assert rows("") == []


@pytest.mark.parametrize(("name", "form"), [("a.csv", "csv"), ("A.CSV", "csv"), ("a.jsonl", "jsonl"), ("-", "jsonl")])
def test_the_format_goes_by_the_suffix(name: str, form: str) -> None:
    """Only CSV has a suffix of its own."""
    assert format_of(name) is Format(form)


@pytest.mark.parametrize(("name", "count"), [("reviews.jsonl", 383), ("reviews.csv", 15)])
def test_the_shipped_samples_are_read_without_a_bad_line(name: str, count: int) -> None:
    """As their README says; each is an event that the consumer takes whole."""
    lines = list(read((sample.HOME / name).read_bytes().splitlines(keepends=True), format_of(name)))
    assert [line for line in lines if isinstance(line, BadLine)] == []
    assert len(lines) == count
    assert all(decode_review(line.value).dropped == () for line in lines if isinstance(line, ReviewLine))


def test_the_demos_sample_has_names_and_broken_events() -> None:
    """The broken events are bytes as they are, in the middle of the stream."""
    found = sample.load()
    assert len(found.names) == 12
    assert len(found.malformed) == 3
    assert set(found.malformed) <= set(found.lines)
    assert len(found.lines) == len(found.reviews) + 3
    assert found.lines[0] == found.reviews[0]
    assert found.lines[-1] == found.reviews[-1]


def test_a_sample_that_is_not_there_says_so(tmp_path: Path) -> None:
    """An incomplete installation, not a traceback."""
    with pytest.raises(CannotGoOn, match="sample is incomplete"):
        sample.load(tmp_path)
