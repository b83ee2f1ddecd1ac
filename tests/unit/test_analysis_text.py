"""Sentences, languages, aspects: what is read out of a review's text."""

import pytest

from consumer.analysis.aspects import lexicon
from consumer.analysis.task import AspectName
from consumer.analysis.text import MAX_QUOTE, language_of, normal, sentences, shorten, tidy


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("고기가 두툼해요 직원도 친절해요ㅎㅎ 또 올게요.", ["고기가 두툼해요", "직원도 친절해요ㅎㅎ", "또 올게요."]),
        ("맛있다.양도 많다", ["맛있다.", "양도 많다"]),
        ("3.5점 드려요! 강추", ["3.5점 드려요!", "강추"]),
        ("Great food. The service (slow!) wasn't.\nNice", ["Great food.", "The service (slow!) wasn't.", "Nice"]),
        ("최고👍 또 감", ["최고👍", "또 감"]),
        ("😍😍", ["😍😍"]),
        ("맛있어요 !!! 진짜", ["맛있어요", "진짜"]),
        ("", []),
        (" \n\t ", []),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text: str, expected: list[str]) -> None:
    """With and without full stops; a piece without a letter counts only where there is nothing else."""
    assert sentences(text) == expected


def test_control_and_bidi_characters_end_a_sentence_and_are_in_none() -> None:
    """A quote that turns a reader's line round is no quote."""
    assert sentences("앞\x00뒤\u202e거꾸로\u202c끝") == ["앞", "뒤", "거꾸로", "끝"]


def test_a_long_sentence_goes_on_in_the_next_without_losing_a_word() -> None:
    """Cut at a word's end, or in mid-word where there is none."""
    words = "아주 길게 이어지는 이야기 " * 40
    parts = sentences(words)
    assert " ".join(parts).split() == words.split()
    assert all(len(part) <= MAX_QUOTE for part in parts)
    assert sentences("가" * 450) == ["가" * 200, "가" * 200, "가" * 50]


def test_a_review_of_any_length_is_read_at_both_ends() -> None:
    """Work is bounded; head and tail are kept."""
    found = sentences("처음이에요. " + "가운데예요. " * 20_000 + "마지막이에요.")
    assert found[0] == "처음이에요."
    assert found[-1] == "마지막이에요."
    assert len(found) < 60


def test_tidy_leaves_one_line_of_seen_characters() -> None:
    """Zero-width, tag and private characters are how instructions are hidden."""
    hidden = "\u200b\ue000\U000e0041\ufeff\x07"
    assert tidy(f" 맛{hidden}있고\r\n\u2028 좋아요 ") == "맛있고 좋아요"


def test_shorten_cuts_at_a_words_end() -> None:
    """Where there is one in the second half."""
    assert shorten("aaaa bbbb cccc", 10) == "aaaa bbbb"
    assert shorten("aaaabbbbcccc", 10) == "aaaabbbbcc"
    assert shorten("short", 10) == "short"


def test_normal_form_composes_and_folds() -> None:
    """A decomposed syllable, as macOS writes it, is the same word."""
    assert normal("\u1106\u1161\u11ba, GREAT!") == "맛 great"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["맛있어요", "good", "최고 BEST"], "ko"),
        (["Lovely place", "Great", "좋아요"], "en"),
        (["좋아요", "good"], "ko"),
        (["👍", "123"], "ko"),
        ([], "ko"),
    ],
)
def test_the_majority_decides_the_language(texts: list[str], expected: str) -> None:
    """Texts without a letter have no vote; Korean where they are even."""
    assert language_of(texts) == expected


def test_a_chosen_language_wins() -> None:
    """`OUTPUT_LANGUAGE`."""
    assert language_of(["맛있어요"], "en") == "en"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("국물이 진하고 직원이 친절해요", {AspectName.FOOD, AspectName.SERVICE}),
        ("음식이 늦게 나왔어요", {AspectName.WAITING}),
        ("고기 양이 적어요", {AspectName.PORTION}),
        ("삼겹살 좋네요", {AspectName.FOOD}),
        ("양념이 맛있어요", {AspectName.FOOD}),
        ("공간은 별로", {AspectName.ATMOSPHERE}),
        ("위생이 별로", {AspectName.CLEANLINESS}),
        ("지하철역에서 가까워요", {AspectName.LOCATION}),
        ("Overpriced and the waiter was rude", {AspectName.PRICE, AspectName.SERVICE}),
        ("그냥 그래요", set()),
    ],
)
def test_the_lexicon_names_the_aspects(text: str, expected: set[AspectName]) -> None:
    """Weak words, such as dishes, count only where no strong one does."""
    assert set(lexicon().aspects(normal(text))) == expected


def test_every_named_aspect_has_words() -> None:
    """`other` has none: it is what is left."""
    assert set(lexicon().strong) == set(AspectName) - {AspectName.OTHER}


def test_a_dish_goes_by_its_longest_name() -> None:
    """No "찌개" beside "된장찌개"."""
    assert lexicon().dishes("된장찌개와 냉면") == {"된장찌개", "냉면"}
