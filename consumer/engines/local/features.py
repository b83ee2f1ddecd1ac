"""Text to hashed character n-grams, a whole batch in a few numpy passes. Pure; takes any `str`.

How a text is read (`VERSION` names these rules: weights are only good for the rules they were trained with):

1. Longer than `MAX_CHARS`: its first and its last half of that many characters, with a space between.
2. Unicode NFC, lower case. Apostrophes, zero-width joiners and variation selectors are dropped; all that is blank or
   unprintable becomes a space; repeated spaces, and a space before closing punctuation, are dropped; of a character
   repeated more than three times in a row three are kept. One space stands before and after.
3. Every run of 1 to 5 characters with a letter or a pictograph in it is an n-gram. Digits and punctuation count only
   beside one: a text that nobody can read an opinion from has no n-grams at all.
4. A key is 32-bit FNV-1a, over whole code points instead of bytes, xor the length, finished by MurmurHash3's fmix32 so
   that keys spread evenly over all 32 bits.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

VERSION = "chars-1-5/fnv1a-fmix32/1"
MAX_CHARS = 4096
"""Characters of one text that are read: bounds the cost of a review of any length."""
LONGEST = 5
"""Characters of the longest n-gram."""

_FNV_OFFSET, _FNV_PRIME = np.uint32(0x811C9DC5), np.uint32(0x01000193)
_FMIX_1, _FMIX_2 = np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35)
_PLANE = 0x10000
_SPACE = np.uint32(0x20)
_RUN = 3

_OTHER, _SIGN, _BLANK, _CLOSING, _DROPPED = range(5)
_CLOSING_PUNCTUATION = ".,!?;:)%…"
_FIRST_JAMO, _LAST_JAMO = "\u3131", "\u318e"
_NOT_READ = "'’‘`´\u200b\u200c\u200d\ufe0e\ufe0f"

Codes = npt.NDArray[np.uint32]
Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Ngrams:
    """The n-grams of a batch, shortest first: two arrays of one length."""

    keys: Codes
    rows: Rows
    """Which text of the batch each key comes from, counted from 0."""


class NgramReader:
    """Reads batches of texts. Holds one constant table of 64 KiB, built in about 20 ms; safe to share."""

    def __init__(self) -> None:
        """Classify the first plane; whatever lies beyond it is a letter or a pictograph."""
        self._kinds = np.full(_PLANE + 1, _SIGN, np.uint8)
        self._kinds[:_PLANE] = [_kind(chr(code)) for code in range(_PLANE)]

    def read(self, texts: Sequence[str]) -> Ngrams:
        """Give the n-grams of `texts`: at most 5 x (MAX_CHARS + 3) a text, as often as they occur, none for a blank."""
        codes, rows, signs = self._characters(texts)
        parts = list(_lengths(codes, rows, signs))
        return Ngrams(np.concatenate([keys for keys, _ in parts]), np.concatenate([owners for _, owners in parts]))

    def _characters(self, texts: Sequence[str]) -> tuple[Codes, Rows, Mask]:
        """Rule 2: the code points that are read, the text of each, and which are letters or pictographs."""
        encoded = [_canonical(text).encode("utf-32-le", "surrogatepass") for text in texts]
        codes = np.frombuffer(b"".join(encoded), "<u4").astype(np.uint32)
        rows = np.repeat(np.arange(len(texts), dtype=np.int64), [len(part) // 4 for part in encoded])
        kinds = self._kinds[np.minimum(codes, _PLANE)]
        codes, rows, kinds = _keep(kinds != _DROPPED, codes, rows, kinds)
        codes[kinds == _BLANK] = _SPACE
        codes, rows, kinds = _keep(~_idle_blanks(rows, kinds), codes, rows, kinds)
        codes, rows, kinds = _keep(~_long_runs(codes, rows), codes, rows, kinds)
        return codes, rows, kinds == _SIGN


def _kind(char: str) -> int:
    """What a character is to us, by its Unicode category."""
    if char in _NOT_READ:
        return _DROPPED
    if char in _CLOSING_PUNCTUATION:
        return _CLOSING
    if _FIRST_JAMO <= char <= _LAST_JAMO:
        return _OTHER
    category = unicodedata.category(char)
    if category[0] in "ZC":
        return _BLANK
    return _SIGN if category[0] == "L" or category == "So" else _OTHER


def _canonical(text: str) -> str:
    """Rule 1, and the part of rule 2 that Python's own strings do faster."""
    if len(text) > MAX_CHARS:
        text = f"{text[: MAX_CHARS // 2]} {text[-MAX_CHARS // 2 :]}"
    return f" {unicodedata.normalize('NFC', text).lower()} "


def _keep(
    wanted: Mask, codes: Codes, rows: Rows, kinds: npt.NDArray[np.uint8]
) -> tuple[Codes, Rows, npt.NDArray[np.uint8]]:
    return codes[wanted], rows[wanted], kinds[wanted]


def _idle_blanks(rows: Rows, kinds: npt.NDArray[np.uint8]) -> Mask:
    """Blanks before another blank or before closing punctuation of the same text."""
    blank = kinds == _BLANK
    idle = np.zeros(kinds.size, np.bool_)
    idle[:-1] = blank[:-1] & (blank[1:] | (kinds[1:] == _CLOSING)) & (rows[:-1] == rows[1:])
    return idle


def _long_runs(codes: Codes, rows: Rows) -> Mask:
    """Characters that repeat the three before them in the same text."""
    alike = (codes[1:] == codes[:-1]) & (rows[1:] == rows[:-1])
    surplus = np.zeros(codes.size, np.bool_)
    surplus[_RUN:] = alike[: alike.size - 2] & alike[1 : alike.size - 1] & alike[2:]
    return surplus


def _lengths(codes: Codes, rows: Rows, signs: Mask) -> Iterator[tuple[Codes, Rows]]:
    """Rules 3 and 4: keys and rows of the n-grams of each length. No n-gram spans two texts."""
    state, read = np.full(codes.size, _FNV_OFFSET, np.uint32), np.zeros(codes.size, np.bool_)
    for last in range(min(LONGEST, codes.size)):
        starts = codes.size - last
        state = (state[:starts] ^ codes[last:]) * _FNV_PRIME
        read = read[:starts] | signs[last:]
        wanted = read & (rows[:starts] == rows[last:])
        yield _fmix32(state[wanted] ^ np.uint32(last + 1)), rows[:starts][wanted]
    yield np.empty(0, np.uint32), np.empty(0, np.int64)


def _fmix32(keys: Codes) -> Codes:
    """MurmurHash3's finaliser: every input bit reaches every output bit."""
    keys = (keys ^ (keys >> np.uint32(16))) * _FMIX_1
    keys = (keys ^ (keys >> np.uint32(13))) * _FMIX_2
    return keys ^ (keys >> np.uint32(16))
