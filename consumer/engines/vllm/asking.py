"""What vLLM is asked for each kind of task, and how what it says becomes an answer."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from consumer.analysis.answers import answer_schema
from consumer.analysis.task import Kind
from consumer.engines.contract import Answer, Fault
from consumer.errors import DeadLetter, RetryLater
from schemas.base import Sentiment

PRIORITY = {Kind.SENTIMENT: 0, Kind.STRENGTH: 1, Kind.COMPARISON: 1, Kind.SUMMARY: 1}
"""Lower is sooner: a label is one step, and somebody waits for it."""
WARM_UP_TOKENS = 2


def sampling(answers: Mapping[Kind, int], labels: Mapping[Sentiment, int]) -> dict[Kind, Any]:
    """Sampling parameters, one a kind. Greedy; a label is one token, of which the log-probabilities are asked.

    The log-probabilities are the model's own: no grammar, whose mask would move them to other tokens.
    """
    return {kind: _params(kind, answers[kind], labels) for kind in Kind}


def warming(kind: Kind, labels: Mapping[Sentiment, int]) -> Any:
    """As asked in earnest, but short."""
    return _params(kind, 1 if kind is Kind.SENTIMENT else WARM_UP_TOKENS, labels)


def _params(kind: Kind, tokens: int, labels: Mapping[Sentiment, int]) -> Any:
    from vllm import SamplingParams  # noqa: PLC0415 - an extra: imported by now
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams  # noqa: PLC0415 - as above

    common = {"temperature": 0.0, "max_tokens": tokens, "output_kind": RequestOutputKind.FINAL_ONLY}
    if kind is Kind.SENTIMENT:
        return SamplingParams(logprob_token_ids=list(labels.values()), detokenize=False, **common)
    return SamplingParams(structured_outputs=StructuredOutputsParams(json=answer_schema(kind)), **common)


def read(kind: Kind, said: Any, labels: Mapping[Sentiment, int]) -> Answer | Fault:
    """A finished RequestOutput as an answer. `abort` and `error` arrive as ordinary outputs."""
    output = said.outputs[0]
    if output.finish_reason not in ("stop", "length"):
        return RetryLater(f"vLLM finished the request with {output.finish_reason!r}")
    counted = Answer(
        prompt_tokens=len(said.prompt_token_ids or ()),
        output_tokens=len(output.token_ids),
        cached_tokens=said.num_cached_tokens or 0,
    )
    if kind is not Kind.SENTIMENT:
        if output.finish_reason == "length":
            return RetryLater("the answer was longer than its room", "invalid_answer")
        return replace(counted, text=output.text)
    found = output.logprobs[0] if output.logprobs else {}
    logprobs = {label: found[token].logprob for label, token in labels.items() if token in found}
    return replace(counted, label_logprobs=logprobs)


def fault_of(error: Exception) -> Fault | None:
    """An exception of one request; None for one that is not the request's."""
    from vllm.exceptions import VLLMClientError  # noqa: PLC0415 - an extra: imported by now
    from vllm.v1.engine.exceptions import EngineDeadError  # noqa: PLC0415 - as above

    if isinstance(error, EngineDeadError):
        return None
    name = type(error).__name__
    if isinstance(error, VLLMClientError | ValueError | TypeError):
        return DeadLetter("engine_error", f"vLLM refused the request: {name}")
    return RetryLater(f"vLLM failed the request: {name}")
