"""What the analysis of one restaurant asks, and what follows from each answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from consumer.analysis.task import Language, Task
from consumer.engines.contract import Answer, Prepared
from schemas.batch import SentimentBatchResult, StrengthBatchResult, SummaryBatchResult

Result = SentimentBatchResult | SummaryBatchResult | StrengthBatchResult


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a request."""

    task: Task
    name: str
    """Its own within the request, and the same in another process."""
    use: Callable[[Answer, Prepared], "Sequence[Question]"]
    """Takes the answer and gives what is asked next. Raises RetryLater, having changed nothing: ask again."""


class Analysis(Protocol):
    """One restaurant's analysis. Pure: it asks by giving questions, and never waits."""

    def start(self) -> Sequence[Question]:
        """What is asked first. Raises DeadLetter where there is nothing to analyse."""

    def result(self) -> Result:
        """What came of it. To be called when every question has been answered."""


@dataclass(frozen=True, slots=True)
class RequestRules:
    """How requests are analysed."""

    language: Language | None
    """None: the majority of a restaurant's reviews."""
    prompt_tokens: int
    """What the reviews' texts of one summary prompt may weigh, where the request's own budget allows as much."""
    prompt_share: int
    """The part of a request's own budget that they may weigh: one such part."""

    def prompt_budget(self, budget: int | None) -> int:
        """Tokens that the texts of one summary prompt may weigh."""
        return self.prompt_tokens if budget is None else min(self.prompt_tokens, budget // self.prompt_share)
