"""The engine contract, kept by a linear model and a lexicon in one thread of their own."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from consumer.analysis.task import Kind, Task
from consumer.engines.contract import Answer, BudgetTooSmall, Deliver, Fault, Health, Load, Prepared
from consumer.engines.estimate import count_tokens
from consumer.engines.local import extractive
from consumer.engines.local.sentiment import SentimentModel
from consumer.engines.truncation import cut, fair_caps
from consumer.errors import DeadLetter, EngineDown
from consumer.hooks.bugs import log_bug
from schemas.base import Sentiment
from schemas.codec import encode_document

log = logging.getLogger(__name__)

CONTEXT = 8192
"""Tokens of review text that are read at most."""

R = TypeVar("R")


class LocalEngine:
    """Sentiment by a linear model, summaries and strengths extractively. Nothing blocks the event loop."""

    name = "local"

    def __init__(self) -> None:
        self._sentiment = SentimentModel.load()
        self._thread: ThreadPoolExecutor | None = None
        """Each start has its own: what an earlier one still holds finds that it was stopped."""
        self._reason = "not started"

    @property
    def model(self) -> str:
        """The model's name and the version of its weights."""
        return f"{self._sentiment.name}/{self._sentiment.version}"

    async def start(self) -> None:
        """Answer one review, so that the first real one finds everything loaded."""
        self._thread = self._thread or ThreadPoolExecutor(1, thread_name_prefix="local-engine")
        self._reason = ""
        await self._in_thread(lambda: self._sentiment.label_logprobs(["따뜻하게"]))

    async def stop(self) -> None:
        """The piece of work that runs ends by itself, in milliseconds; those that wait find the engine stopped."""
        self._reason = "stopped"
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(wait=False)

    def health(self) -> Health:
        """Ready from start to stop."""
        return Health(not self._reason, self._reason)

    def load(self) -> Load | None:
        """It has no queue of its own to tell of."""
        return None

    async def prepare(self, tasks: Sequence[Task], budget: int) -> list[Prepared]:
        """Count and cut in the thread. Only what is read is counted: no answer takes room in a cache here."""
        limit = min(CONTEXT, budget)
        if limit < 1:
            raise BudgetTooSmall(f"a budget of {budget} tokens holds no text")
        return await self._in_thread(lambda: [_prepared(task, limit) for task in tasks])

    async def run(self, batch: Sequence[Prepared], deliver: Deliver) -> None:
        """Labels in one vectorised pass, then one piece of work for each other task."""
        labels = [n for n, prepared in enumerate(batch) if prepared.task.kind is Kind.SENTIMENT]
        texts = ["".join(batch[n].task.reviews) for n in labels]
        for n, answer in zip(labels, await self._in_thread(lambda: self._labelled(texts)), strict=True):
            deliver(n, answer)
        for n in sorted(set(range(len(batch))) - set(labels)):
            task = batch[n].task
            deliver(n, await self._in_thread(lambda task=task: self._said(task)))  # type: ignore[misc]

    async def _in_thread(self, work: Callable[[], R]) -> R:
        thread = self._thread
        if thread is None:
            raise EngineDown(f"the local engine is {self._reason}")

        def while_up() -> R:
            if self._thread is not thread:
                raise EngineDown("the local engine was stopped")
            return work()

        return await asyncio.get_running_loop().run_in_executor(thread, while_up)

    def _labelled(self, texts: Sequence[str]) -> list[Answer | Fault]:
        """All at once; one by one where that fails, so that the culprit is alone."""
        try:
            return [_label(found) for found in self._sentiment.label_logprobs(texts)]
        except Exception as error:  # noqa: BLE001 - logged without its words
            log_bug(log, "a batch could not be labelled at once", error)
            return [_guarded(lambda text=text: _label(*self._sentiment.label_logprobs([text]))) for text in texts]  # type: ignore[misc]

    def _said(self, task: Task) -> Answer | Fault:
        return _guarded(lambda: Answer(text=encode_document(extractive.answer(task, self._sentiment)).decode()))


def _guarded(work: Callable[[], Answer]) -> Answer | Fault:
    """One item's failure is that item's alone."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - logged without its words
        log_bug(log, "an item could not be answered", error)
        return DeadLetter("engine_error", f"{type(error).__name__} in the local engine")


def _label(logprobs: dict[str, float]) -> Answer:
    return Answer(label_logprobs={Sentiment(label): value for label, value in logprobs.items()}, output_tokens=1)


def _prepared(task: Task, limit: int) -> Prepared:
    lengths = [count_tokens(review) for review in task.reviews]
    claims = sum(count_tokens(claim.text) for claim in task.claims)
    caps = fair_caps(lengths, limit - min(claims, limit // 2))
    reviews = tuple(cut(text, cap, count_tokens) for text, cap in zip(task.reviews, caps, strict=True))
    tokens = min(limit, claims + sum(map(count_tokens, reviews)))
    return Prepared(replace(task, reviews=reviews), max(1, tokens), "", 0, truncated=reviews != task.reviews)
