"""The one engine contract. `tests/contract/engine_suite.py` holds every engine to it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from consumer.analysis.task import Task
from consumer.errors import DeadLetter, RetryLater
from consumer.values import value
from schemas.base import Sentiment


@value
class Prepared:
    """A task, tokenised once: the same tokens are counted, truncated and sent."""

    task: Task
    own_tokens: int
    """Tokens of the prompt without its shared prefix, plus the output it may produce."""
    prefix: str
    """Name of the shared prefix: a batch pays for each of its prefixes once."""
    prefix_tokens: int
    """Tokens of that prefix that the engine's cache holds in whole blocks (0: none is cached)."""
    truncated: bool
    """Review text was cut to fit the context or the budget."""
    payload: object = None
    """The engine's own form of the prompt; nobody else looks inside."""
    trace: str | None = None
    """W3C `traceparent` of what asks, for a server that traces its requests."""


@value
class Answer:
    """What an engine says to one task: log-probabilities of the labels for sentiment, JSON text for the others."""

    label_logprobs: Mapping[Sentiment, float] | None = None
    """Natural logarithms; labels the engine does not know are absent."""
    label: Sentiment | None = None
    """The label alone, from an engine that gives no log-probabilities."""
    text: str | None = None
    """JSON by the kind's schema, unread: one parser reads every engine's."""
    prompt_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    """Of the prompt's, those that the engine found in its prefix cache."""
    cached: bool = False
    """From the result cache: the engine was not asked."""
    truncated: bool = False
    """The text had to be cut (further) when it was sent."""


Fault = RetryLater | DeadLetter


class BudgetTooSmall(ValueError):  # noqa: N818 - the state it tells of
    """A token budget holds not even a task without review text."""


Deliver = Callable[[int, Answer | Fault], None]


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the engine takes work, and if not, why."""

    ready: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Load:
    """What the engine says of its load."""

    running: int
    waiting: int
    cache_usage: float
    """Fraction 0 to 1 of the KV cache in use."""
    preemptions: int
    """Since the engine started."""
    number: int = 0
    """Of this statement: the same number is no news, a lower one is a new start's."""
    step_tokens: int = 0
    """The most that the engine takes into one step; 0 where it does not tell."""


class Engine(Protocol):
    """Runs micro-batches. Safe for many `run` and `prepare` at once; none of them blocks the event loop.

    An engine that died, or was stopped, works as new after `stop` and `start` on the same object; what was prepared
    before stays good. It finds out itself that it is dead or hangs: then every call in flight raises EngineDown, and
    `health` is not ready. EngineUnavailable (it cannot be reached, or refuses for now) needs no new start: the caller
    asks again later.
    """

    @property
    def name(self) -> str:
        """`local`, `vllm` or `openai`."""

    @property
    def model(self) -> str:
        """The model's name and version, as written into the results' provenance."""

    async def start(self) -> None:
        """Return when ready to run: it has answered something. Also after `stop`.

        Raises ConfigError (waiting cannot help), EngineDown (another start may), EngineUnavailable (time will).
        """

    async def stop(self) -> None:
        """Release everything, a dead engine's remains too, within a few seconds.

        Safe to call twice, and without a start. Calls in flight end with EngineDown.
        """

    def health(self) -> Health:
        """Never blocks."""

    def load(self) -> Load | None:
        """None where the engine does not tell."""

    async def prepare(self, tasks: Sequence[Task], budget: int) -> list[Prepared]:
        """Tokenise off the event loop, in order.

        Review text is cut so that each `prefix_tokens + own_tokens` fits the smaller of the context and `budget`.
        Raises BudgetTooSmall when it does not hold even an empty text; EngineDown and EngineUnavailable as `run`.
        """

    async def run(self, batch: Sequence[Prepared], deliver: Deliver) -> None:
        """Call `deliver(index, answer or fault)` once per item, the moment it is known; return when all are delivered.

        Raises EngineDown when the engine died, EngineUnavailable when it could not be reached or refuses for now: what
        was not delivered is not at fault, and in the second case not suspect either. Cancelling aborts what is
        undelivered, and delivers nothing more. An exception out of `deliver` is the caller's and is raised.
        """
