"""Answers as they are kept: bytes, the same in memory and in Redis. Only answers that can be used are kept."""

from consumer.analysis.answers import parse_comparison, parse_strength, parse_summary
from consumer.analysis.sentiment import read_sentiment
from consumer.analysis.task import Kind, Task
from consumer.engines.contract import Answer, Fault
from consumer.errors import RetryLater
from schemas.base import Sentiment
from schemas.codec import Undecodable, decode_answer, encode_document


def value_of(task: Task, said: Answer | Fault) -> bytes | None:
    """What is kept of an answer; None of one that its asker would refuse: it is to be asked again.

    Of a label its log-probabilities before any calibration.
    """
    if not isinstance(said, Answer) or not _is_usable(task, said):
        return None
    document: dict[str, object] = {"truncated": True} if said.truncated else {}
    if said.label_logprobs is not None:  # as text: JSON has no infinity
        document["logprobs"] = {str(label): str(value) for label, value in said.label_logprobs.items()}
    if said.label is not None:
        document["label"] = str(said.label)
    if said.text is not None:
        document["text"] = said.text
    return encode_document(document)


def answer_of(task: Task, value: bytes) -> Answer | None:
    """The answer, marked as cached; None where the bytes are none, or none for this task: others write there too."""
    try:
        document = decode_answer(value.decode())
        logprobs, label = document.get("logprobs"), document.get("label")
        answer = Answer(
            label_logprobs={Sentiment(name): float(found) for name, found in logprobs.items()} if logprobs else None,
            label=Sentiment(label) if label else None,
            text=document.get("text"),
            truncated=bool(document.get("truncated")),
            cached=True,
        )
    except (Undecodable, UnicodeDecodeError, AttributeError, TypeError, ValueError):
        return None
    return answer if _is_usable(task, answer) else None


def _is_usable(task: Task, answer: Answer) -> bool:
    try:
        match task.kind:
            case Kind.SENTIMENT:
                read_sentiment(answer)
            case Kind.SUMMARY:
                parse_summary(answer.text, len(task.reviews))
            case Kind.COMPARISON:
                parse_comparison(answer.text)
            case Kind.STRENGTH:
                parse_strength(answer.text, len(task.claims))
    except RetryLater:
        return False
    return True
