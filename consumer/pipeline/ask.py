"""What the engine is asked, by whom, and who is told."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from consumer.analysis.task import Task
from consumer.engines.contract import Answer, Prepared
from consumer.errors import DeadLetter
from consumer.stream.record import Record
from consumer.stream.work import Rank


class Owner(Protocol):
    """Who asked. When it has closed, its questions are dropped and its answers ignored."""

    @property
    def closed(self) -> bool:
        """Whether nobody waits for the answers any more."""


@dataclass(slots=True, eq=False)
class Ask:
    """One question and what to do with its answer. The callbacks run on the event loop and do not wait."""

    task: Task
    restaurant: str
    """Whose turn it takes; what a call asks for takes the call's."""
    rank: Rank
    owner: Owner
    answered: Callable[[Answer, Prepared], None]
    """May raise RetryLater (the answer is invalid: ask again) or DeadLetter."""
    failed: Callable[[DeadLetter, int], None]
    """For good, after so many attempts."""
    name: str = field(kw_only=True)
    """What it is about, the same in another process: by it an item that kills the engine is known again."""
    deadline: float | None = None
    """Seconds on the dispatcher's clock; from then on it is not sent any more, and fails as Expired."""
    budget: int | None = None
    """Tokens that it, and a batch with it, may have; None: as many as any batch."""
    feed: str = ""
    """The topic whose record asks; none for a job."""
    record: Record | None = None
    """What asks; none for a job."""
    trace: bytes | None = None
    """W3C `traceparent` of what asks, where it has one."""
    attempts: int = 0
    alone: bool = False
    """It failed with nothing beside it, and took its batch's time along: it is tried alone again."""
    opening: int = 0
    """Number of the breaker's opening since which its attempts count."""
    prepared: Prepared | None = field(default=None, repr=False)
