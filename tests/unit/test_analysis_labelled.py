"""Labelled files: which label a line means, and what is said of lines that mean none."""

import pytest

from consumer.analysis.labelled import LabelledReview, Review, read_labelled, read_reviews
from schemas.lines import BadLine, Format


def read(*lines: str, form: Format = Format.JSONL) -> list[LabelledReview | BadLine]:
    """Read lines of text."""
    return list(read_labelled([f"{line}\n".encode() for line in lines], form))


@pytest.mark.parametrize(
    ("field", "label"),
    [
        ('"label":"positive"', "positive"),
        ('"label":"neutral"', "neutral"),
        ('"is_recommended":true', "positive"),
        ('"is_recommended":false', "negative"),
        ('"rating":1', "negative"),
        ('"rating":2', "negative"),
        ('"rating":2.5', "neutral"),
        ('"rating":3', "neutral"),
        ('"rating":4', "positive"),
        ('"rating":5.0', "positive"),
        ('"label":"negative","is_recommended":true,"rating":5', "negative"),
        ('"label":null,"is_recommended":false,"rating":5', "negative"),
    ],
)
def test_the_label_of_a_line(field: str, label: str) -> None:
    """The first of label, is_recommended and rating that is there."""
    (found,) = read(f'{{"content":"맛있어요",{field}}}')
    assert isinstance(found, LabelledReview)
    assert found.label == label


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"content":"비밀"}', "label (positive, negative or neutral), is_recommended (true or false) or rating"),
        ('{"content":"비밀","label":"good"}', "label: Input should be 'positive', 'negative' or 'neutral'"),
        ('{"content":"비밀","rating":6}', "rating: Input should be less than or equal to 5"),
        ('{"content":"비밀","is_recommended":"yes"}', "is_recommended: Input should be a valid boolean"),
        ('{"content":null,"rating":5}', "content: Input should be a valid string"),
        ('{"content":" ","rating":5}', "content: a text that is not blank is expected"),
        ('{"rating":5}', "content: Field required"),
        ("[1]", "an object is expected"),
        ("비밀", "not JSON"),
    ],
)
def test_a_bad_line_is_named_and_the_rest_is_used(line: str, says: str) -> None:
    """With what is allowed, and without the review's text."""
    good = '{"content":"맛있어요","rating":5}'
    found = read(good, line, good)
    assert [type(one) for one in found] == [LabelledReview, BadLine, LabelledReview]
    bad = found[1]
    assert isinstance(bad, BadLine)
    assert bad.number == 2
    assert says in bad.reason
    assert "비밀" not in bad.reason


def test_csv_with_its_columns() -> None:
    """Cells are read as their field's type; the restaurant may be there."""
    found = read("content,rating,restaurant_id", "맛있어요,5,7", '"짜요, 너무",1,', ",3,8", form=Format.CSV)
    assert found[:2] == [LabelledReview("맛있어요", "7", "positive"), LabelledReview("짜요, 너무", None, "negative")]  # type: ignore[arg-type]
    assert isinstance(found[2], BadLine)


def test_a_csv_file_without_contents_is_not_read() -> None:
    """One message, not one a row."""
    (found,) = read("text,rating", "맛있어요,5", "짜요,1", form=Format.CSV)
    assert found == BadLine(1, "the header lacks content: the first row names the fields")


def test_summaries_need_no_labels() -> None:
    """Ids of either type name the same restaurant."""
    lines = (
        b'{"content":"a","restaurant_id":7}',
        b'{"content":"b","restaurant_id":"7","rating":"x"}',
        b'{"content":""}',
    )
    found = list(read_reviews(lines, Format.JSONL))
    assert found[:2] == [Review("a", "7"), Review("b", "7")]
    assert isinstance(found[2], BadLine)
