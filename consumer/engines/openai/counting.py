"""Tokens of a server's model: by its tokenizer where we have it, else estimated and corrected."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from consumer.engines.estimate import Estimate
from consumer.errors import ConfigError


class Counting:
    """Called in one thread, but for `learn`."""

    def __init__(self, tokenizer: str | None) -> None:
        self._source = tokenizer
        self._tokenizer: Any = None
        self._estimate = Estimate()

    def open(self) -> None:
        """Load the tokenizer, if one is named. Raises ConfigError."""
        if self._source is None or self._tokenizer is not None:
            return
        try:
            from tokenizers import Tokenizer  # noqa: PLC0415 - an extra, needed only for TOKENIZER

            path = Path(self._source).expanduser()
            file = path / "tokenizer.json" if path.is_dir() else path
            own = Tokenizer.from_file(str(file)) if file.is_file() else Tokenizer.from_pretrained(self._source)
        except ImportError as error:
            raise ConfigError(f"TOKENIZER needs tokenizers ({error}): pip install 'review-consumer[openai]'") from error
        except Exception as error:  # the library raises bare Exception, for a missing file as for a bad one
            raise ConfigError(
                f"TOKENIZER={self._source!r} cannot be loaded ({type(error).__name__}): "
                "give a tokenizer.json, a folder that holds one, or a model's name"
            ) from error
        own.no_truncation()
        own.no_padding()
        self._tokenizer = own

    def encode(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        """Token ids; where they are only estimated, as many numbers."""
        if self._tokenizer is None:
            return [range(self._estimate.count(text)) for text in texts]
        return [its.ids for its in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)] if texts else []

    def learn(self, text: str, tokens: int) -> None:
        """The server counted so many tokens for a prompt; 0: it does not say."""
        if tokens and self._tokenizer is None:
            self._estimate.learn(text, tokens)
