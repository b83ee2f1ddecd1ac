"""The engine's life: started, watched through the dispatcher, started again when it dies."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from consumer.engines.contract import Engine, Health
from consumer.errors import EngineDown, EngineUnavailable
from consumer.hooks.events import Event, Hooks, What
from consumer.pipeline.dispatch import Dispatcher
from consumer.pipeline.quarantine import Quarantine
from consumer.stream.retry import RetryPolicy
from consumer.stream.suspects import Progress

log = logging.getLogger(__name__)

START_SECONDS = 1800.0
"""Bound on one start: a large model is read from a slow disk, and compiled."""
STOP_SECONDS = 30.0
"""Bound on one stop; then the next start must cope with what is left."""


@dataclass(frozen=True, slots=True)
class RestartRules:
    """How an engine that died is started again."""

    most: int
    """Restarts in a row that may bring nothing."""
    pause: RetryPolicy
    """Between them."""


class Supervisor:
    """Keeps an engine running under a dispatcher. Records wait meanwhile, and lose nothing by it."""

    def __init__(
        self,
        engine: Engine,
        dispatcher: Dispatcher,
        quarantine: Quarantine,
        rules: RestartRules,
        hooks: Hooks,
        *,
        random: Callable[[], float],
    ) -> None:
        self._engine, self._dispatcher, self._quarantine = engine, dispatcher, quarantine
        self._rules, self._hooks, self._random = rules, hooks, random
        self._progress = Progress()
        self._down = "not started"

    async def start(self) -> None:
        """Return when the engine takes work. Raises ConfigError, or EngineDown when it is given up.

        An engine that cannot be reached is waited for without end.
        """
        self._quarantine.open()
        try:
            await self._start()
        except EngineDown as error:
            await self._restart(error)
        self._up()

    async def run(self) -> None:
        """Work until cancelled. Raises EngineDown when so many restarts brought nothing, ConfigError as `start`."""
        while True:
            death = await self._dispatcher.run()
            self._tell(death.error, "died")
            progress = self._progress.answered() if death.answered else self._progress
            self._progress = progress.failed(death.in_flight)
            await self._restart(death.error)
            self._up()

    async def stop(self) -> None:
        """Release the engine, within bounds; safe to call twice, and without a start."""
        self._down = "stopped"
        await self._stop_engine()
        self._quarantine.close()

    def health(self) -> Health:
        """Whether the engine takes work; never blocks."""
        reason = self._down or self._dispatcher.refusal
        return Health(False, reason) if reason else self._engine.health()

    async def _restart(self, error: EngineDown) -> None:
        """Stop and start, with pauses that grow, until it is up."""
        refusals = 0
        while True:
            if self._progress.fruitless > self._rules.most:
                raise EngineDown(f"{self._rules.most} restarts of the engine brought nothing; the last error: {error}")
            asked = error.retry_after if isinstance(error, EngineUnavailable) else None
            attempt = max(1, self._progress.fruitless, refusals)
            await asyncio.sleep(self._rules.pause.delay(attempt, self._random()) if asked is None else max(0.0, asked))
            self._hooks(Event(What.ENGINE_RESTART))
            await self._stop_engine()
            try:
                await self._start()
            except EngineDown as again:
                error = again
                refusals += isinstance(again, EngineUnavailable)
            else:
                return

    async def _start(self) -> None:
        """Once. Raises EngineDown, counted unless it is only EngineUnavailable: Kafka holds everything meanwhile."""
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._engine.start()
        except EngineUnavailable as error:
            self._tell(error, "unavailable")
            raise
        except (EngineDown, TimeoutError) as error:
            late = EngineDown(f"the engine did not start within {START_SECONDS:g} s")
            down = error if isinstance(error, EngineDown) else late
            self._tell(down, "not_started")
            self._progress = self._progress.failed()
            raise down from None

    async def _stop_engine(self) -> None:
        """A dead engine may fail to stop: that must not keep a new one from starting."""
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._engine.stop()
        except TimeoutError:
            log.warning("the engine did not stop in time", extra={"seconds": STOP_SECONDS})
        except Exception:
            log.exception("the engine did not stop as it should")

    def _tell(self, error: EngineDown, reason: str) -> None:
        self._down = str(error) or type(error).__name__
        self._hooks(Event(What.ENGINE_DOWN, reason=reason, detail=self._down))

    def _up(self) -> None:
        self._down = ""
        self._hooks(Event(What.ENGINE_UP))
