"""Reads answers that cite, and tells of claims that cited nothing."""

from consumer.analysis.answers import StrengthAnswer, SummaryAnswer, parse_strength, parse_summary
from consumer.analysis.task import Task
from consumer.engines.contract import Answer
from consumer.hooks.events import Event, Hooks, What


def read_summary(task: Task, answer: Answer, hooks: Hooks) -> SummaryAnswer:
    """Claims that cite no review of the task are dropped, and told of if there was one to cite. Raises RetryLater."""
    parsed = parse_summary(answer.text, len(task.reviews))
    if task.reviews:
        _tell(task, parsed.uncited, hooks)
    return parsed


def read_strength(task: Task, answer: Answer, hooks: Hooks) -> StrengthAnswer:
    """Lines that cite no claim of the task are dropped, and told of. Raises RetryLater."""
    parsed = parse_strength(answer.text, len(task.claims))
    _tell(task, parsed.uncited, hooks)
    return parsed


def _tell(task: Task, uncited: int, hooks: Hooks) -> None:
    if uncited:
        hooks(Event(What.UNGROUNDED, kind=task.kind, count=uncited))
