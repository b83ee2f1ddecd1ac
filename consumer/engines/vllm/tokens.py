"""A model's tokenizer, as we use it: encode, and the chat template."""

from collections.abc import Callable, Sequence
from typing import Any

from consumer.engines.fitting import Encode
from consumer.engines.rendering import Voice, chat_voice

_MARK = "THE-USERS-TURN"


def encoder(tokenizer: Any) -> Encode:
    """Encode without special tokens. Fast tokenizers encode many texts at once, on all cores."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return lambda texts: [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    own = type(backend).from_str(backend.to_str())  # vLLM goes on using the other one, in its threads
    own.no_truncation()
    own.no_padding()
    return _batches(own.encode_batch)


def voice_of(tokenizer: Any) -> Voice:
    """The model's chat form where it has one, thinking off; else a completion that begins with its first token."""
    if not getattr(tokenizer, "chat_template", None):
        return Voice(before=getattr(tokenizer, "bos_token", None) or "")
    turn = [{"role": "user", "content": _MARK}]
    rendered = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True, enable_thinking=False)
    return chat_voice(rendered, _MARK)


def _batches(encode_batch: Callable[..., Sequence[Any]]) -> Encode:
    return lambda texts: [its.ids for its in encode_batch(list(texts), add_special_tokens=False)] if texts else []
