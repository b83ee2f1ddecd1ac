"""Items that the engine may have died of, kept apart from the others until it has outlived them."""

from collections.abc import Callable, Iterator, Sequence

from consumer.errors import DeadLetter
from consumer.flight_log import FlightLog
from consumer.hooks.events import Event, Hooks, What
from consumer.pipeline.ask import Ask
from consumer.state_dir import StateDirectory
from consumer.stream.suspects import ALONE_DEATHS, Suspects

KILLER = "engine_killer"


class Quarantine:
    """Joins the decisions of `stream/suspects.py` with the asks that wait here, and with what is known on disk."""

    def __init__(self, directory: StateDirectory, hooks: Hooks) -> None:
        self._directory, self._hooks = directory, hooks
        self._log = FlightLog()
        self._suspects = Suspects()
        self._waiting: list[Ask] = []

    def open(self) -> None:
        """What was in flight when the last process was killed is suspected like what was at an engine's death.

        Raises ConfigError when the state directory cannot be used.
        """
        known, in_flight = self._log.open(self._directory.open())
        self._suspects = Suspects(known)
        self.died(in_flight)

    def close(self) -> None:
        """Nothing is in flight any more. Safe to call twice."""
        self._log.close()

    def __iter__(self) -> Iterator[Ask]:
        """Suspects that wait for their trial."""
        return iter(self._waiting)

    @property
    def waits(self) -> bool:
        """Whether a suspect is here: it is tried before anything else is sent."""
        return bool(self._waiting)

    def begin(self, asks: Sequence[Ask]) -> int:
        """These are about to be in flight; gives the flight's number."""
        return self._log.begin([ask.name for ask in asks])

    def end(self, flight: int) -> None:
        """None of a flight is with the engine any more, and the engine lives."""
        self._log.end(flight)

    def died(self, in_flight: Sequence[str]) -> None:
        """The engine died with these in flight."""
        self._suspects.died(in_flight)
        self._log.keep(self._suspects.known())
        self._log.end_all()
        self._tell()

    def outlived(self, ask: Ask) -> None:
        """The engine has answered this one."""
        if ask.name in self._suspects:
            self._suspects.outlived(ask.name)
            self._tell()

    def takes(self, ask: Ask) -> bool:
        """Whether it must not go the usual way: a suspect waits here for its trial, a killer has failed."""
        if self._suspects.is_killer(ask.name):
            said = f"the engine died {ALONE_DEATHS} times with this alone in flight"
            ask.failed(DeadLetter(KILLER, said), ask.attempts + ALONE_DEATHS)
            return True
        if ask.name in self._suspects:
            self._waiting.append(ask)
            return True
        return False

    def next_trial(self) -> list[Ask]:
        """Take out whom to try next, alone; empty when none is left."""
        names = set(self._suspects.next_trial(ask.name for ask in self._waiting))
        trial = [ask for ask in self._waiting if ask.name in names]
        self._waiting = [ask for ask in self._waiting if ask.name not in names]
        return trial

    def end_trial(self) -> None:
        """The engine has outlived a group: so it is known on disk as well."""
        self._log.keep(self._suspects.known())

    def discard(self, unwanted: Callable[[Ask], bool]) -> None:
        """Drop waiting asks. Their names stay suspected: they may come back."""
        self._waiting = [ask for ask in self._waiting if not unwanted(ask)]

    def _tell(self) -> None:
        self._hooks(Event(What.SUSPECTS, count=len(self._suspects)))
