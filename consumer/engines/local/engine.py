"""The engine contract, kept by a linear model and a lexicon in threads of their own."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
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
SUMMARY_WEIGHT = 10
"""A summary takes about ten times as long as the labels of the same text (measured), and so weighs as much."""

R = TypeVar("R")


class LocalEngine:
    """Sentiment by a linear model, summaries and strengths extractively. Nothing blocks the event loop."""

    name = "local"

    def __init__(self) -> None:
        self._sentiment = SentimentModel.load()
        self._threads: _Threads | None = None
        """Each start has its own: what an earlier one still holds finds that it was stopped."""
        self._reason = "not started"
        self._unanswered = self._at_work = self._pieces = 0

    @property
    def model(self) -> str:
        """The model's name and the version of its weights."""
        return f"{self._sentiment.name}/{self._sentiment.version}"

    async def start(self) -> None:
        """Answer one review, so that the first real one finds everything loaded."""
        self._threads = self._threads or _Threads()
        self._reason = ""
        await self._answering(lambda: self._sentiment.label_logprobs(["따뜻하게"]))

    async def stop(self) -> None:
        """The piece of work that runs ends by itself, in milliseconds; those that wait find the engine stopped."""
        self._reason = "stopped"
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown()

    def health(self) -> Health:
        """Ready from start to stop."""
        return Health(not self._reason, self._reason)

    def load(self) -> Load:
        """What waits for the thread had better wait where urgent items still overtake it."""
        running = min(self._at_work, self._unanswered)
        return Load(running, self._unanswered - running, 0.0, 0, self._pieces)

    async def prepare(self, tasks: Sequence[Task], budget: int) -> list[Prepared]:
        """Count and cut, not behind what is being answered. An item weighs what it takes: no cache holds its answer."""
        limit = min(CONTEXT, budget)
        if limit < 1:
            raise BudgetTooSmall(f"a budget of {budget} tokens holds no text")
        threads = self._up()
        return await self._in(threads, threads.preparing, lambda: [_prepared(task, limit) for task in tasks])

    async def run(self, batch: Sequence[Prepared], deliver: Deliver) -> None:
        """Labels in one vectorised pass, then one piece of work for each other task."""
        pieces = list(_pieces(batch))
        self._unanswered += len(batch)
        left = len(batch)
        try:
            for piece in pieces:
                answers = await self._answering(partial(self._answers, [batch[n].task for n in piece]))
                self._pieces += 1
                self._unanswered -= len(piece)
                left -= len(piece)
                for n, answer in zip(piece, answers, strict=True):
                    deliver(n, answer)
        finally:
            self._unanswered -= left

    def _up(self) -> "_Threads":
        if self._threads is None:
            raise EngineDown(f"the local engine is {self._reason}")
        return self._threads

    async def _answering(self, work: Callable[[], R]) -> R:
        threads = self._up()
        return await self._in(threads, threads.answering, work)

    async def _in(self, threads: "_Threads", thread: ThreadPoolExecutor, work: Callable[[], R]) -> R:
        def while_up() -> R:
            if self._threads is not threads:
                raise EngineDown("the local engine was stopped")
            return work()

        return await asyncio.get_running_loop().run_in_executor(thread, while_up)

    def _answers(self, tasks: Sequence[Task]) -> list[Answer | Fault]:
        self._at_work = len(tasks)
        if tasks[0].kind is Kind.SENTIMENT:
            return self._labelled(["".join(task.reviews) for task in tasks])
        return [self._said(task) for task in tasks]

    def _labelled(self, texts: Sequence[str]) -> list[Answer | Fault]:
        """All at once; one by one where that fails, so that the culprit is alone."""
        try:
            return [_label(found) for found in self._sentiment.label_logprobs(texts)]
        except Exception as error:  # noqa: BLE001 - logged without its words
            log_bug(log, "a batch could not be labelled at once", error)
            return [_guarded(lambda text=text: _label(*self._sentiment.label_logprobs([text]))) for text in texts]  # type: ignore[misc]

    def _said(self, task: Task) -> Answer | Fault:
        return _guarded(lambda: Answer(text=encode_document(extractive.answer(task, self._sentiment)).decode()))


class _Threads:
    """Of one start: preparing is short, and has a thread of its own."""

    def __init__(self) -> None:
        self.preparing = ThreadPoolExecutor(1, thread_name_prefix="local-prepare")
        self.answering = ThreadPoolExecutor(1, thread_name_prefix="local-answer")

    def shutdown(self) -> None:
        """What waits in them finds the engine stopped."""
        for thread in (self.preparing, self.answering):
            thread.shutdown(wait=False)


def _pieces(batch: Sequence[Prepared]) -> Iterator[list[int]]:
    """Places of what is answered at once: all labels, and each other task."""
    labels = [n for n, prepared in enumerate(batch) if prepared.task.kind is Kind.SENTIMENT]
    if labels:
        yield labels
    yield from ([n] for n in sorted(set(range(len(batch))) - set(labels)))


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
    weight = SUMMARY_WEIGHT if task.kind is Kind.SUMMARY else 1
    tokens = min(limit, claims + weight * sum(map(count_tokens, reviews)))
    return Prepared(replace(task, reviews=reviews), max(1, tokens), "", 0, truncated=reviews != task.reviews)
