"""Characters, sentences and likeness: what the analyses and the local engine share about text."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise

from consumer.analysis.task import Language

MAX_QUOTE = 200
"""Characters of a sentence; a longer one is cut at a word's end, and goes on as the next."""

MAX_SENTENCES = 48
"""Sentences taken from one review: the first half from its head, the rest from its tail."""

_HEAD, _TAIL = 6000, 2000
"""Characters of a review that are looked at, so that a review of any length costs the same."""

_TRICKS = (
    "\x00-\x08\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u206f"
    "\ufff9-\uffff\ud800-\udfff\U000e0000-\U000e0fff"
)
"""Control, bidirectional, tag and surrogate characters: a quote holds none of them."""

_UNSEEN = (
    f"{_TRICKS}\xad\u115f\u1160\u180e\u200b-\u200d\u2060-\u2065\u3164\ufeff\uffa0\ue000-\uf8ff\U000f0000-\U0010ffff"
)
"""These, and zero-width, filling and private characters: nothing that a reader sees."""

_ENDINGS = (
    "니다|어요|아요|해요|워요|와요|여요|에요|예요|네요|세요|게요|데요|지요|까요|군요|걸요|려요|져요|셔요|켜요|써요|돼요"
    "|었다|았다|했다|였다|됐다|갔다|있다|없다|좋다|싶다|같다|많다|하다|쁘다"
    "|었음|았음|했음|였음|됐음|갔음|왔음|있음|없음|좋음|구나|듯요"
)
_MARKS = ".!?。！？…~ㅋㅎㅠㅜ^♡♥\u2600-\u27bf\ufe0f\U0001f000-\U0001faff"
_AFTER = "|".join(f"(?<={end})" for end in (*_ENDINGS.split("|"), f"[{_MARKS}]", "[.!?][\"'”’]"))
_GAP = re.compile(rf"(?:{_AFTER})\s+|(?<=[.!?])(?=[가-힣])")
_HARD = re.compile(f"[\t\r\n\v\f{_TRICKS}]+")
_SPACE = re.compile(r"\s+")
_HIDDEN = re.compile(f"[{_UNSEEN}]")
_WORD = re.compile(r"\w")
_NOT_WORD = re.compile(r"\W+")
_LETTERS = re.compile(r"[^\W\d_]+")
_HANGUL = re.compile(r"[가-힣ㄱ-ㅎㅏ-ㅣ]+")
_KOREAN_SHARE = 0.3
"""Of a text's letters: Korean reviews are full of Latin names and abbreviations."""


def tidy(text: str) -> str:
    """One line of seen characters: what is put into a prompt, or kept of a model's text. Not for quotes."""
    return " ".join(_HIDDEN.sub("", _SPACE.sub(" ", text)).split())


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, cut at a word's end where there is one."""
    if len(text) <= limit:
        return text
    cut = text.rfind(" ", limit // 2, limit + 1)
    return text[: cut if cut > 0 else limit].rstrip()


def sentences(text: str) -> list[str]:
    """The sentences of a review, each a verbatim part of it of at most MAX_QUOTE characters, none of them control ones.

    Korean reviews often do without full stops: a verb's ending, laughter and emoji end a sentence too. Parts without a
    letter or a digit are left out, unless there are no others.
    """
    found = [part for piece in _looked_at(text) for part in _split(piece)]
    worded = [sentence for sentence in found if _WORD.search(sentence)] or found
    if len(worded) <= MAX_SENTENCES:
        return worded
    return worded[: MAX_SENTENCES // 2] + worded[-MAX_SENTENCES // 2 :]


def normal(text: str) -> str:
    """Composed, case-folded words with single spaces: the form in which texts are compared and searched."""
    return _NOT_WORD.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def pairs(text: str) -> frozenset[str]:
    """The pairs of neighbouring characters in the words of a text in normal form."""
    return frozenset(chain.from_iterable(map(_pairs_of, text.split())))


def likeness(one: frozenset[str], other: frozenset[str]) -> float:
    """Dice's coefficient, 0 to 1."""
    return 2 * len(one & other) / (len(one) + len(other)) if one and other else 0.0


def language_of(texts: Sequence[str], override: Language | None = None) -> Language:
    """The language of most texts, by their share of Hangul; Korean where they are even. `override` wins."""
    if override:
        return override
    votes = [_is_korean(text[:_HEAD]) for text in texts]
    return "en" if votes.count(False) > votes.count(True) else "ko"


def _is_korean(text: str) -> bool | None:
    hangul = len("".join(_HANGUL.findall(text)))
    if hangul and hangul >= _KOREAN_SHARE * len(text):  # of all characters: then of the letters, too
        return True
    letters = len("".join(_LETTERS.findall(text)))
    return hangul >= _KOREAN_SHARE * letters if letters else None


def _looked_at(text: str) -> tuple[str, ...]:
    return (text,) if len(text) <= _HEAD + _TAIL else (text[:_HEAD], text[-_TAIL:])


def _split(text: str) -> list[str]:
    lines = _HARD.split(text)
    found = chain.from_iterable(_GAP.split(line) for line in lines)
    return [part for sentence in found for part in _parts(sentence.strip()) if part]


def _parts(sentence: str) -> Iterable[str]:
    while len(sentence) > MAX_QUOTE:
        head = shorten(sentence, MAX_QUOTE)
        yield head
        sentence = sentence[len(head) :].lstrip()
    yield sentence


def _pairs_of(word: str) -> Iterable[str]:
    return map("".join, pairwise(word)) if len(word) > 1 else (word,)
