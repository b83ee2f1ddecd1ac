"""The runs that are recorded: some to fit the costs on, three of other kinds to predict."""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from consumer.analysis.task import Kind, Task
from consumer.analysis.text import language_of

DATA = Path(__file__).parents[2] / "data" / "nsmc_reviews.jsonl"
SAMPLES = Path(__file__).parents[3] / "producer" / "samples" / "reviews.jsonl"
VOCABULARY = 10_000
"""Ids of random tokens are below it, and above those that mean something to the engine."""
FIRST_ID = 1_000
SMALL_CACHE = {"num_gpu_blocks_override": 81, "max_model_len": 2500}
"""80 blocks of 32 tokens, and vLLM's one for nothing: 2,560 tokens, where what is asked for grows to twice as many."""


class Tokens(NamedTuple):
    """Asked of the engine as it is: random tokens, and so many to be generated, whatever they are."""

    ids: list[int]
    output: int


Question = Task | Tokens


@dataclass(frozen=True, slots=True)
class Plan:
    """One run."""

    name: str
    what: str
    """`labels`, `summaries` or `tokens`."""
    count: int
    in_flight: int
    fitted: bool
    options: Mapping[str, float] = field(default_factory=dict)
    engine_args: Mapping[str, Any] = field(default_factory=dict)

    def questions(self) -> list[Question]:
        """The same each time."""
        rng = random.Random(self.name)
        make: dict[str, Callable[..., list[Question]]]
        make = {"labels": _labels, "summaries": _summaries, "tokens": _tokens}
        return make[self.what](rng, self.count, **self.options)


PLANS = (
    Plan("fit-labels", "labels", 240, 64, fitted=True),
    Plan("fit-labels-few", "labels", 60, 6, fitted=True),
    Plan("fit-summaries", "summaries", 6, 6, fitted=True, options={"reviews": 6}),
    Plan("fit-tokens", "tokens", 36, 12, fitted=True, options={"prompt": 200, "least": 8, "most": 120}),
    Plan("fit-tokens-many", "tokens", 56, 28, fitted=True, options={"prompt": 30, "least": 16, "most": 100}),
    Plan("held-labels-heavy-tailed", "labels", 100, 24, fitted=False, options={"tail": 1.2}),
    Plan("held-summaries", "summaries", 10, 10, fitted=False, options={"reviews": 14}),
    Plan(
        "held-small-cache",
        "tokens",
        20,
        20,
        fitted=False,
        options={"prompt": 60, "least": 200, "most": 240},
        engine_args=SMALL_CACHE,
    ),
)


def _texts() -> list[str]:
    lines = [*DATA.read_text("utf-8").splitlines(), *SAMPLES.read_text("utf-8").splitlines()]
    return sorted({json.loads(line).get("content") or "" for line in lines} - {""})


def _labels(rng: random.Random, count: int, tail: float = 0) -> list[Question]:
    """Reviews as they are; `tail`: several in one, as many as a Pareto distribution of this index says."""
    texts = _texts()
    if not tail:
        return [_label(text) for text in rng.sample(texts, count)]
    return [_label(" ".join(rng.sample(texts, min(40, int(rng.paretovariate(tail)))))) for _ in range(count)]


def _label(text: str) -> Task:
    return Task(Kind.SENTIMENT, language_of([text]), (text,))


def _summaries(rng: random.Random, count: int, reviews: float) -> list[Question]:
    texts = _texts()
    found = [tuple(rng.sample(texts, int(reviews))) for _ in range(count)]
    return [Task(Kind.SUMMARY, language_of(its), its) for its in found]


def _tokens(rng: random.Random, count: int, prompt: float, least: float, most: float) -> list[Question]:
    """Prompts of exponential length around the mean, outputs of any length between."""
    return [
        Tokens(
            [rng.randrange(FIRST_ID, VOCABULARY) for _ in range(8 + int(rng.expovariate(1 / prompt)))],
            rng.randint(int(least), int(most)),
        )
        for _ in range(count)
    ]
