"""Tokens estimated from characters, where a model's tokenizer is not at hand."""

import re

_HANGUL = re.compile(r"[가-힣ㄱ-ㅎㅏ-ㅣ]")
_PER_TOKEN_HANGUL, _PER_TOKEN = 1.5, 4.0
"""Characters a token, about as large models' tokenizers cut Korean and other text."""


def count_tokens(text: str) -> int:
    """Tokens, estimated from the characters; at least 1."""
    hangul = len(_HANGUL.findall(text))
    return max(1, round(hangul / _PER_TOKEN_HANGUL + (len(text) - hangul) / _PER_TOKEN))


class Estimate:
    """The same, corrected by what a server reports of the prompts it was sent."""

    LOWEST, HIGHEST = 0.5, 4.0
    WEIGHT = 0.05
    """Of the newest report: one odd text changes little."""

    def __init__(self) -> None:
        self.factor = 1.0
        """Real tokens for one estimated."""
        self._reports = 0

    def count(self, text: str) -> int:
        """At least 1."""
        return max(1, round(self.factor * count_tokens(text)))

    def learn(self, text: str, tokens: int) -> None:
        """A prompt of this text had so many tokens. The first report counts whole."""
        seen = min(self.HIGHEST, max(self.LOWEST, tokens / count_tokens(text)))
        weight = self.WEIGHT if self._reports else 1.0
        self.factor += weight * (seen - self.factor)
        self._reports += 1
