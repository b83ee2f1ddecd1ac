"""Tokenises what is asked. Also at that an engine may die, or refuse."""

import logging
from collections.abc import Callable, Iterator, Sequence

from consumer.engines.contract import BudgetTooSmall, Engine
from consumer.errors import DeadLetter, EngineDown, EngineUnavailable
from consumer.hooks.bugs import log_bug
from consumer.pipeline.ask import Ask
from consumer.pipeline.quarantine import Quarantine

log = logging.getLogger(__name__)


class Preparing:
    """One flight after another; the caller sees to it that there are not two at once."""

    def __init__(
        self, engine: Engine, quarantine: Quarantine, budget: int, fail: Callable[[Ask, DeadLetter], None]
    ) -> None:
        """`budget`: tokens of a micro-batch. `fail` takes what cannot be prepared."""
        self._engine, self._quarantine, self._budget, self._fail = engine, quarantine, budget, fail
        self._open: dict[Ask, None] = {}
        self._stranded: list[Ask] = []

    def __iter__(self) -> Iterator[Ask]:
        """What is with the engine."""
        return iter(self._open)

    @property
    def busy(self) -> bool:
        """Whether a flight is with the engine."""
        return bool(self._open)

    def take_stranded(self) -> list[Ask]:
        """What the engine was at when it died, or the flight was cut short; given once."""
        stranded, self._stranded = self._stranded, []
        return stranded

    async def prepare(
        self,
        asks: Sequence[Ask],
        then: Callable[[Ask], None],
        refused: Callable[[EngineUnavailable, Sequence[Ask]], None],
    ) -> None:
        """As a flight: also what is only prepared may be what the engine dies of.

        `then` takes each that is prepared, `refused` those that are left when the engine refuses. What cannot be
        prepared has failed. Raises EngineDown.
        """
        if not asks:
            return
        flight = self._quarantine.begin(asks)
        self._open = dict.fromkeys(asks)
        try:
            for budget in sorted({self._budget_of(ask) for ask in asks}):
                await self._prepare([ask for ask in asks if self._budget_of(ask) == budget], budget, then)
        except EngineUnavailable as error:
            left, self._open = list(self._open), {}
            refused(error, left)
        finally:
            if self._open:
                self._stranded.extend(self._open)
                self._open = {}
            else:
                self._quarantine.end(flight)

    async def _prepare(self, asks: Sequence[Ask], budget: int, then: Callable[[Ask], None]) -> None:
        """All at once; one by one where that fails, so that the culprit is alone."""
        try:
            prepared = await self._engine.prepare([ask.task for ask in asks], budget)
        except EngineDown:
            raise
        except Exception as error:  # noqa: BLE001 - logged without its words
            if len(asks) == 1:
                if not isinstance(error, BudgetTooSmall):
                    log_bug(log, "an item could not be prepared", error)
                del self._open[asks[0]]
                self._fail(asks[0], _fault(error, budget))
                return
            for ask in asks:
                await self._prepare([ask], budget, then)
            return
        for ask, its in zip(asks, prepared, strict=True):
            ask.prepared = its
            del self._open[ask]
            then(ask)

    def _budget_of(self, ask: Ask) -> int:
        return self._budget if ask.budget is None else min(ask.budget, self._budget)


def _fault(error: Exception, budget: int) -> DeadLetter:
    """Why an item could not be prepared."""
    if isinstance(error, BudgetTooSmall):
        return DeadLetter("budget_too_small", f"with {budget} tokens a batch: {error}")
    return DeadLetter("internal_error", type(error).__name__)
