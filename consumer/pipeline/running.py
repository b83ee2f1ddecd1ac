"""A micro-batch in the engine."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from consumer.analysis.task import Kind
from consumer.engines.contract import Answer, Fault, Prepared
from consumer.hooks.events import Event, What
from consumer.pipeline.ask import Ask
from consumer.stream.admission import Permit
from consumer.stream.batcher import Batch
from consumer.stream.record import Record
from consumer.stream.work import Item


@dataclass(slots=True)
class Heard:
    """What the engine has said to items of one kind, and nobody has been told of yet."""

    seconds: list[float] = field(default_factory=list)
    records: list[Record | None] = field(default_factory=list)
    answers: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0


@dataclass(slots=True, eq=False)
class Running:
    """One micro-batch in the engine, and which of its items are undelivered."""

    batch: Batch[Ask]
    permit: Permit
    started: float
    flight: int
    """Its number on disk."""
    open: set[int] = field(init=False)
    _heard: defaultdict[Kind, Heard] = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is delivered yet."""
        self.open = set(range(len(self.batch.items)))
        self._heard = defaultdict(Heard)

    def items(self) -> list[Item[Ask]]:
        """What is undelivered, in the batch's order."""
        return [self.batch.items[index] for index in sorted(self.open)]

    def asks(self) -> list[Ask]:
        """Who asked for it."""
        return [item.payload for item in self.items()]

    def prepared(self) -> list[Prepared]:
        """What is sent, each with the trace of who asks."""
        asks = (item.payload for item in self.batch.items)
        return [replace(p, trace=ask.trace.decode()) if ask.trace else p for ask in asks if (p := ask.prepared)]

    def hear(self, ask: Ask, outcome: Answer | Fault, now: float) -> None:
        """One item is delivered. It is told of later, with others: events cost more than this."""
        heard = self._heard[ask.task.kind]
        heard.seconds.append(now - self.started)
        heard.records.append(ask.record)
        if isinstance(outcome, Answer) and not outcome.cached:
            heard.answers += 1
            heard.prompt_tokens += outcome.prompt_tokens
            heard.cached_tokens += outcome.cached_tokens
            heard.output_tokens += outcome.output_tokens

    def told(self) -> Iterator[Event]:
        """What was heard since the last time."""
        heard, self._heard = self._heard, defaultdict(Heard)
        for kind, one in heard.items():
            yield Event(What.ANSWERED, kind=kind, values=one.seconds, records=one.records, batch=self.flight)
            tokens = one.prompt_tokens, one.cached_tokens, one.output_tokens
            yield Event(What.TOKENS, kind=kind, count=one.answers, values=tokens)
