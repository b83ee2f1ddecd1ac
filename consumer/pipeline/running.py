"""A micro-batch in the engine."""

from dataclasses import dataclass, field

from consumer.pipeline.ask import Ask
from consumer.stream.admission import Permit
from consumer.stream.batcher import Batch
from consumer.stream.work import Item


@dataclass(slots=True, eq=False)
class Running:
    """One micro-batch in the engine, and which of its items are undelivered."""

    batch: Batch[Ask]
    permit: Permit
    started: float
    flight: int
    """Its number on disk."""
    open: set[int] = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is delivered yet."""
        self.open = set(range(len(self.batch.items)))

    def items(self) -> list[Item[Ask]]:
        """What is undelivered, in the batch's order."""
        return [self.batch.items[index] for index in sorted(self.open)]

    def asks(self) -> list[Ask]:
        """Who asked for it."""
        return [item.payload for item in self.items()]
