"""What must hold for any text: the n-gram reader and the model on top of it."""

import functools
import math
import re
import unicodedata

import numpy as np
import numpy.typing as npt
from hypothesis import assume, given
from hypothesis import strategies as st

from consumer.engines.local.features import LONGEST, MAX_CHARS, NgramReader
from consumer.engines.local.sentiment import SentimentModel

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=200)
"""Every code point, unpaired surrogates and NUL among them."""
KOREAN = st.text(st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3), min_size=1, max_size=40)

MASK = 0xFFFFFFFF


@functools.cache
def model() -> SentimentModel:
    """The shipped model, loaded at first use."""
    return SentimentModel.load()


@functools.cache
def reader() -> NgramReader:
    """One reader for all examples."""
    return NgramReader()


def keys(text: str) -> npt.NDArray[np.uint32]:
    """The n-grams of one text."""
    return reader().read([text]).keys


def plain_key(gram: str) -> int:
    """The documented hash, written the slow way."""
    state = 0x811C9DC5
    for char in gram:
        state = ((state ^ ord(char)) * 0x01000193) & MASK
    state ^= len(gram)
    state = ((state ^ (state >> 16)) * 0x85EBCA6B) & MASK
    state = ((state ^ (state >> 13)) * 0xC2B2AE35) & MASK
    return state ^ (state >> 16)


@given(st.lists(ANY_TEXT, max_size=8))
def test_any_text_has_probabilities_that_sum_to_one(texts: list[str]) -> None:
    """One answer a text, all three labels in each, none impossible."""
    answers = model().label_logprobs(texts)
    assert len(answers) == len(texts)
    for answer in answers:
        assert set(answer) == {"positive", "negative", "neutral"}
        assert all(math.isfinite(value) and value <= 0 for value in answer.values())
        assert abs(math.fsum(map(math.exp, answer.values())) - 1) < 1e-9


@given(st.lists(ANY_TEXT, max_size=8))
def test_an_answer_depends_on_its_own_text_alone(texts: list[str]) -> None:
    """Bit for bit the same alone, again, and in the reverse of the batch."""
    together = model().label_logprobs(texts)
    assert together == [model().label_logprobs([text])[0] for text in texts]
    assert together == model().label_logprobs(texts[::-1])[::-1]


@given(st.lists(ANY_TEXT, min_size=1, max_size=8))
def test_rows_name_the_texts_the_keys_come_from(texts: list[str]) -> None:
    """No n-gram spans two texts, none is lost."""
    ngrams = reader().read(texts)
    for row, text in enumerate(texts):
        assert sorted(ngrams.keys[ngrams.rows == row]) == sorted(keys(text))


@given(st.lists(KOREAN, max_size=5).map(" ".join))
def test_keys_are_the_documented_hash(text: str) -> None:
    """Against a plain loop over characters, where rule 2 leaves the text as it is."""
    assume(not re.search(r"(.)\1{3}", text))
    shown = f" {text} "
    grams = [shown[at : at + size] for size in range(1, LONGEST + 1) for at in range(len(shown) - size + 1)]
    assert keys(text).tolist() == [plain_key(gram) for gram in grams if gram.strip()]


@given(st.text(st.characters(categories=["P", "N", "Z", "Cc", "Sm", "Sc", "Sk"], max_codepoint=0xFFFF), max_size=60))
def test_no_letter_no_ngram(text: str) -> None:
    """Digits, punctuation and blanks alone say nothing."""
    assert keys(text).size == 0


@given(KOREAN, st.integers(1, 30), st.sampled_from("ㅋ!~ㅠz"))
def test_repeats_beyond_three_change_nothing(text: str, more: int, char: str) -> None:
    """ㅋㅋㅋ and ㅋㅋㅋㅋㅋㅋ are one and the same."""
    assert keys(text + char * 3).tolist() == keys(text + char * (3 + more)).tolist()


@given(st.text("가나다라맛없\ud800😀 ", min_size=1, max_size=5), st.integers(5_000, 20_000))
def test_the_cost_of_a_long_text_is_bounded(text: str, times: int) -> None:
    """However long the review."""
    assert keys(text * times).size <= LONGEST * (MAX_CHARS + 3)


@given(KOREAN)
def test_composed_and_decomposed_text_are_one(text: str) -> None:
    """Reviews typed on a Mac come decomposed. Blanks around a text change nothing either."""
    assert keys(unicodedata.normalize("NFD", text)).tolist() == keys(text).tolist()
    assert keys(f"  {text} \n").tolist() == keys(text).tolist()
