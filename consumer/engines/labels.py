"""Which single token stands for each label, right after a rendered prompt."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from consumer.analysis.task import Kind
from consumer.engines.rendering import EMPTY, Voice
from consumer.errors import ConfigError
from schemas.base import Sentiment

Tokens = Mapping[Sentiment, int]


def choose_labels(
    voice: Voice, encode: Callable[[str], Sequence[int]], *, in_context: bool = True
) -> tuple[Voice, Tokens]:
    """Words where each adds exactly one token of its own to the prompt, else letters. Raises ConfigError for neither.

    A word that is several tokens cannot be scored by the first of them: other words begin with it too. `in_context`:
    not so where the answer begins a turn of its own, in a chat form that only the server knows.
    """
    for letters in (False, True):
        tried = replace(voice, letters=letters)
        if tokens := label_tokens(tried, encode, in_context=in_context):
            return tried, tokens
    raise ConfigError(
        "the model's tokenizer gives neither positive, negative, neutral nor A, B, C a token of its own after the "
        "prompt: sentiment cannot be read from one token; choose another model"
    )


def label_tokens(voice: Voice, encode: Callable[[str], Sequence[int]], *, in_context: bool = True) -> Tokens | None:
    """The token that each label adds in context; None where one adds several, changes the prompt's, or shares one."""
    tail = voice.prompt(EMPTY[Kind.SENTIMENT]).tail if in_context else ""
    before = list(encode(tail))
    found: dict[Sentiment, int] = {}
    for label, word in voice.labels.items():
        ids = list(encode(tail + word))
        if ids[:-1] != before:
            return None
        found[label] = ids[-1]
    return found if len(set(found.values())) == len(found) else None
