"""`review-consumer run` as it is, on an engine that answers at once."""

import sys
from collections.abc import Sequence

from consumer import cli
from consumer.analysis.task import Task
from consumer.cli import run as command
from consumer.engines.contract import Answer, Deliver, Engine, Health, Load, Prepared
from consumer.settings import Settings
from schemas.base import Sentiment

_PROMPT, _TOKENS_A_CHARACTER = 20, 0.6


class ConstantEngine:
    """Positive, whatever is asked."""

    name, model = "constant", "constant-1"

    async def start(self) -> None:
        """Ready at once."""

    async def stop(self) -> None:
        """Nothing to release."""

    def health(self) -> Health:
        """Always ready."""
        return Health(ready=True)

    def load(self) -> Load | None:
        """Tells nothing."""
        return None

    async def prepare(self, tasks: Sequence[Task], budget: int) -> list[Prepared]:
        """Weighs by length, as estimates do."""
        return [self._prepared(task, budget) for task in tasks]

    async def run(self, batch: Sequence[Prepared], deliver: Deliver) -> None:
        """All at once."""
        for index in range(len(batch)):
            deliver(index, Answer(label_logprobs={Sentiment.POSITIVE: -0.03, Sentiment.NEGATIVE: -3.5}))

    def _prepared(self, task: Task, budget: int) -> Prepared:
        tokens = min(budget, _PROMPT + int(_TOKENS_A_CHARACTER * sum(map(len, task.reviews))))
        return Prepared(task, tokens, "", 0, truncated=False)


def main(engine: Engine | None = None) -> None:
    """Run until stopped; on that engine instead, if one is given."""

    def chosen(_settings: Settings) -> Engine:
        return engine or ConstantEngine()

    vars(command)["choose_engine"] = chosen
    sys.argv = ["review-consumer", "run"]
    cli.main()


if __name__ == "__main__":
    main()
