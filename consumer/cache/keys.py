"""Under what an answer is kept: everything that decides it, and nothing else."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from consumer.analysis import prompts
from consumer.analysis.answers import answer_schema
from consumer.analysis.task import Claim, Kind
from consumer.engines.contract import Prepared
from schemas.codec import encode_document

SAMPLING = "greedy"
"""How every engine is asked. An answer that found no end in its room is none, so the room does not matter."""
SIZE = 20
"""Bytes of a key: two of ten thousand million texts are not alike by chance."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who answers."""

    engine: str
    model: str
    """With its adapter."""
    detail: str = ""
    """What else decides its answers, such as its arguments: dtype, quantisation, revision."""


def key_of(identity: Identity, prepared: Prepared) -> bytes:
    """The key of a prepared task.

    The text counts as it was cut, so it holds the length of truncation, and one text that is cut to two lengths has two
    keys. A prompt is its version and its task: it is not written out for this, which would take milliseconds.
    Calibration does not count: it is applied to what is read. Nor does a stricter instruction: the same is asked.
    """
    task = prepared.task
    asked: tuple[str, ...] = (task.kind, prepared.prefix, *task.reviews)
    if task.kind is Kind.SENTIMENT:
        asked = (prompts.prompt_id(task.kind), *asked)
    else:
        made = (prompts.prompt_id(task.kind, task.language), _schema(task.kind), SAMPLING)
        known = (leaning or "" for leaning in task.leanings)
        asked = (*made, *map(_claim, task.claims), task.background, *known, *asked)
    return _digest((identity.engine, identity.model, identity.detail, *asked))


def _claim(claim: Claim) -> str:
    return f"{claim.polarity} {claim.aspect} {claim.support} {claim.text}"


@lru_cache
def _schema(kind: Kind) -> str:
    return encode_document(answer_schema(kind)).decode()


def _digest(parts: Iterable[str]) -> bytes:
    digest = blake2b(digest_size=SIZE)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.digest()
