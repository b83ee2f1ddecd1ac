"""The tests' own scripted engine keeps the contract of the real ones, as far as a script can."""

from consumer.analysis.task import Kind, Task
from consumer.engines.contract import Answer, Engine, Fault
from schemas.base import Sentiment
from tests.contract.engine_suite import EngineSuite
from tests.integration.scripted import ScriptedEngine


def _by_word(task: Task, _time: int) -> Answer | Fault | None:
    if task.kind is Kind.SENTIMENT and "실망" in "".join(task.reviews):
        return Answer(label=Sentiment.NEGATIVE)
    return None


class TestScriptedEngine(EngineSuite):
    """Everything that every engine promises."""

    def make(self) -> Engine:
        """With a script that knows one word."""
        return ScriptedEngine(_by_word)
