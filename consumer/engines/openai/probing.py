"""What a server can, found out by asking it at the start: each thing by one small request."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from consumer.analysis.task import Kind, Task
from consumer.engines.labels import choose_labels
from consumer.engines.openai.requests import Abilities, Form, Labels, read, request
from consumer.engines.openai.wire import Document, Forbidden, Refused, TooLong, Wire
from consumer.engines.rendering import EMPTY, Voice
from consumer.errors import ConfigError, RetryLater

log = logging.getLogger(__name__)

_CLEAR = Task(Kind.SENTIMENT, "en", ("Wonderful food, the friendliest staff. We loved it and will be back!",))
_SHORT = 16
_NOT_ACCEPTED = (Refused, TooLong, RetryLater, Forbidden)


class Probe:
    """Asks one server. Every method may raise EngineUnavailable."""

    def __init__(self, wire: Wire, model: str) -> None:
        self._wire, self._model = wire, model

    async def context(self) -> int | None:
        """The model's context, where the list of models tells it. Raises ConfigError where it is not in that list."""
        try:
            listed = (await self._wire.get("/models")).get("data")
        except Forbidden as error:
            if error.status != 404:  # noqa: PLR2004 - a gateway may have no list
                raise self._wrong(error) from error
            return None
        except (Refused, RetryLater):
            return None
        models = {str(m.get("id")): m for m in listed or () if isinstance(m, Mapping)}
        if models and self._model not in models:
            raise ConfigError(
                f"OPENAI_MODEL={self._model!r} is not served by {self._wire.base_url}; it has {', '.join(models)}"
            )
        context = models.get(self._model, {}).get("max_model_len")
        return context if isinstance(context, int) else None

    async def abilities(self, *, is_vllm: bool) -> tuple[Abilities, Voice]:
        """Everything, in the order in which one thing needs another. Raises ConfigError where nothing answers."""
        can = await self._speaks()
        voice = Voice(chats=can.chats)
        if can.chats and await self._accepts(replace(can, no_thinking=True), Kind.SENTIMENT, voice):
            can = replace(can, no_thinking=True)
        can, voice = await self._labels(can, voice, is_vllm=is_vllm)
        for form in Form:
            if form is Form.PLAIN or await self._accepts(replace(can, form=form), Kind.SUMMARY, voice):
                can = replace(can, form=form)
                break
        if is_vllm and await self._accepts(replace(can, priority=True), Kind.SUMMARY, voice):
            can = replace(can, priority=True)
        return can, voice

    async def _speaks(self) -> Abilities:
        """Chat where the model has a chat form, else completions: base models have none."""
        said: Exception | None = None
        for can in (
            Abilities(self._model),
            Abilities(self._model, limit="max_completion_tokens"),
            Abilities(self._model, chats=False),
        ):
            try:
                await self._ask(can, Kind.SENTIMENT, Voice(chats=can.chats))
            except Forbidden as error:
                if error.status != 404:  # noqa: PLR2004 - a server may lack one of the two paths
                    raise self._wrong(error) from error
                said = said or error
            except (Refused, TooLong) as error:
                said = error
            else:
                return can
        words = getattr(said, "words", str(said))
        raise ConfigError(
            f"OPENAI_BASE_URL={self._wire.base_url}: neither chat/completions nor completions answers for "
            f"OPENAI_MODEL={self._model!r}: {words}"
        )

    async def _labels(self, can: Abilities, voice: Voice, *, is_vllm: bool) -> tuple[Abilities, Voice]:
        """The best way to learn a label that works on a clear review."""
        if is_vllm and (found := await self._label_ids(can, voice)):
            return found
        top = replace(can, labels=Labels.TOP)
        if await self._accepts(top, Kind.SENTIMENT, voice):
            return top, voice
        log.warning("no log-probabilities from the server: labels have no score")
        return can, voice

    async def _label_ids(self, can: Abilities, voice: Voice) -> tuple[Abilities, Voice] | None:
        """Tokens of the labels by the server's own tokenizer, if they are single and their log-probabilities given."""
        tails = ["" if can.chats else _tail(replace(voice, letters=letters)) for letters in (False, True)]
        spoken = [replace(voice, letters=letters).labels.values() for letters in (False, True)]
        texts = [tail + word for tail, words in zip(tails, spoken, strict=True) for word in ("", *words)]
        encoded = {text: await self._tokens(text) for text in texts}
        if any(ids is None for ids in encoded.values()):
            return None
        chosen, ids = choose_labels(voice, lambda text: encoded[text] or (), in_context=not can.chats)
        able = replace(can, labels=Labels.IDS, label_ids=ids)
        try:
            answer = read(able, chosen, Kind.SENTIMENT, await self._ask(able, Kind.SENTIMENT, chosen))
        except _NOT_ACCEPTED:
            return None
        return (able, chosen) if len(answer.label_logprobs or ()) == len(ids) else None

    async def _tokens(self, text: str) -> list[int] | None:
        if not text:
            return []
        url = f"{self._wire.base_url.removesuffix('/v1')}/tokenize"
        body = {"model": self._model, "prompt": text, "add_special_tokens": False}
        said = await self._wire.json(url, body)
        ids = said.get("tokens") if said else None
        return ids if isinstance(ids, list) else None

    async def _accepts(self, can: Abilities, kind: Kind, voice: Voice) -> bool:
        try:
            said = await self._ask(can, kind, voice)
            if kind is Kind.SENTIMENT and can.labels is not Labels.TEXT:
                read(can, voice, kind, said)
        except _NOT_ACCEPTED:
            return False
        return True

    async def _ask(self, can: Abilities, kind: Kind, voice: Voice) -> Document:
        task = _CLEAR if kind is Kind.SENTIMENT else EMPTY[kind]
        body: dict[str, Any] = request(can, kind, voice.prompt(task), _SHORT)
        return await self._wire.post(can.path, body)

    def _wrong(self, error: Forbidden) -> ConfigError:
        return ConfigError(
            f"OPENAI_BASE_URL={self._wire.base_url} answers with status {error.status} ({error.words}): "
            "check OPENAI_API_KEY"
        )


def _tail(voice: Voice) -> str:
    return voice.prompt(EMPTY[Kind.SENTIMENT]).tail
