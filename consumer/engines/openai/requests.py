"""What is asked of a server that can so much, and how its answers are read. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from consumer.analysis.answers import answer_schema
from consumer.analysis.task import Kind
from consumer.engines.contract import Answer
from consumer.engines.openai.wire import Document
from consumer.engines.rendering import Prompt, Voice
from consumer.errors import RetryLater
from schemas.base import Sentiment

LABEL_TOKENS = 4
"""For a label that is read as text: it may be several tokens."""
TOP = 20
"""Log-probabilities that servers give at most, most of them."""
PRIORITY = {Kind.SENTIMENT: 0, Kind.STRENGTH: 1, Kind.COMPARISON: 1, Kind.SUMMARY: 1}


class Labels(Enum):
    """How a label is learnt, best first."""

    IDS = "log-probabilities of the labels' tokens"
    TOP = "log-probabilities of the most probable tokens"
    TEXT = "the label alone"


class Form(Enum):
    """How JSON is asked for, best first."""

    STRICT = "a strict JSON schema"
    SCHEMA = "a JSON schema"
    OBJECT = "a JSON object"
    PLAIN = "the prompt alone"


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a server was found to accept."""

    model: str
    chats: bool = True
    limit: str = "max_tokens"
    """Or `max_completion_tokens`: what a chat's limit is called."""
    no_thinking: bool = False
    labels: Labels = Labels.TEXT
    label_ids: Mapping[Sentiment, int] | None = None
    form: Form = Form.PLAIN
    priority: bool = False

    @property
    def path(self) -> str:
        """Where requests go."""
        return "/chat/completions" if self.chats else "/completions"


def request(can: Abilities, kind: Kind, prompt: Prompt, tokens: int) -> dict[str, Any]:
    """The body of a request; `tokens`: the longest answer to a kind that is no label."""
    body: dict[str, Any] = {"model": can.model, "temperature": 0}
    if can.chats:
        body["messages"] = [{"role": "user", "content": prompt.text}]
    else:
        body["prompt"] = prompt.text
    if can.no_thinking:
        body["chat_template_kwargs"] = {"enable_thinking": False}
    if can.priority and PRIORITY[kind]:
        body["priority"] = PRIORITY[kind]
    if kind is Kind.SENTIMENT:
        tokens = LABEL_TOKENS if can.labels is Labels.TEXT else 1
        body |= _logprobs(can)
    else:
        body |= _response_format(can.form, kind)
    return body | {can.limit if can.chats else "max_tokens": tokens}


def _logprobs(can: Abilities) -> dict[str, Any]:
    if can.labels is Labels.TEXT:
        return {}
    wanted = list((can.label_ids or {}).values()) if can.labels is Labels.IDS else []
    count = len(wanted) or TOP
    extra = {"logprob_token_ids": wanted, "return_tokens_as_token_ids": True} if wanted else {}
    return extra | ({"logprobs": True, "top_logprobs": count} if can.chats else {"logprobs": count})


def _response_format(form: Form, kind: Kind) -> dict[str, Any]:
    if form is Form.PLAIN:
        return {}
    if form is Form.OBJECT:
        return {"response_format": {"type": "json_object"}}
    named = {"name": str(kind), "schema": answer_schema(kind), "strict": form is Form.STRICT}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def read(can: Abilities, voice: Voice, kind: Kind, said: Document) -> Answer:
    """A server's document as an answer. Raises RetryLater where it is none."""
    try:
        choice, usage = said["choices"][0], said.get("usage") or {}
        details = usage.get("prompt_tokens_details") or {}
        answer = Answer(
            text=_text(can, choice),
            prompt_tokens=int(usage.get("prompt_tokens") or 0),
            output_tokens=int(usage.get("completion_tokens") or 0),
            cached_tokens=int(details.get("cached_tokens") or 0),
        )
        if kind is Kind.SENTIMENT:
            return _label(can, voice, choice, answer)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise RetryLater(f"the server's answer is off its form: {type(error).__name__}", "invalid_answer") from error
    if choice.get("finish_reason") == "length":
        raise RetryLater("the answer was longer than its room", "invalid_answer")
    return answer


def _text(can: Abilities, choice: Document) -> str:
    return (choice["message"]["content"] if can.chats else choice["text"]) or ""


def _label(can: Abilities, voice: Voice, choice: Document, answer: Answer) -> Answer:
    if can.labels is Labels.TEXT:
        return replace(answer, text=None, label=label_in(answer.text or "", voice))
    top = _top(can, choice)
    if can.labels is Labels.IDS:
        names = {f"token_id:{token}": label for label, token in (can.label_ids or {}).items()}
    else:
        names = {word.strip(): label for label, word in voice.labels.items()}
        top = {token.strip(): value for token, value in reversed(top.items())}  # the likelier one of two forms stays
    found = {label: top[name] for name, label in names.items() if name in top}
    if not found:
        raise RetryLater("none of the labels is among the answer's tokens", "invalid_answer")
    return replace(answer, text=None, label_logprobs=found)


def _top(can: Abilities, choice: Document) -> dict[str, float]:
    """Log-probabilities of the first token's alternatives, most probable first."""
    logprobs = choice["logprobs"]
    if can.chats:
        found = {top["token"]: float(top["logprob"]) for top in logprobs["content"][0]["top_logprobs"]}
    else:
        found = {token: float(value) for token, value in logprobs["top_logprobs"][0].items()}
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def label_in(text: str, voice: Voice) -> Sentiment:
    """The label that a text begins with. Raises RetryLater."""
    plain = text.strip().lstrip("\"'*").lower()
    for label, word in voice.labels.items():
        if plain.startswith(word.strip().lower()):
            return label
    raise RetryLater("the answer is none of the labels", "invalid_answer")
