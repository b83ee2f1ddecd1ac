"""The regulator: the adaptive ceiling where the engine tells its load, the most where it does not, and who is told."""

from consumer.engines.contract import Load
from consumer.hooks.events import Event, Hooks, What
from consumer.pipeline.regulator import Regulator
from consumer.stream.ceiling import Ceiling, CeilingRules

MOST = 10_000


class Engine:
    """Says what a test wants."""

    def __init__(self) -> None:
        self.load: Load | None = None
        self.events: list[Event] = []
        ceiling = Ceiling(10, 1000, CeilingRules())
        self.regulator = Regulator(ceiling, MOST, lambda: self.load, Hooks([self.events.append]), lambda: 0.0)

    def told(self, what: What) -> list[tuple[int, float]]:
        """Count and ratio of each event of a kind."""
        return [(event.count, event.ratio) for event in self.events if event.what is what]


def test_a_server_without_load_has_fixed_permits() -> None:
    """All that the settings allow, from the start."""
    engine = Engine()
    assert [engine.regulator(0), engine.regulator(5000)] == [MOST, MOST]
    assert engine.told(What.CEILING) == [(MOST, 0.0)]
    assert engine.told(What.ENGINE_LOAD) == []


def test_one_that_tells_is_followed() -> None:
    """From a low start; each statement and each change is told once."""
    engine = Engine()
    engine.load = Load(3, 0, 0.25, 0, number=1)
    assert [engine.regulator(2000), engine.regulator(2000)] == [3000, 3000]
    assert engine.told(What.CEILING) == [(3000, 0.0)]
    assert engine.told(What.ENGINE_LOAD) == [(0, 0.25)]


def test_preemptions_are_counted_over_restarts() -> None:
    """A new engine counts from its own beginning."""
    engine = Engine()
    for number, preemptions in ((1, 0), (2, 3), (2, 3), (3, 4), (1, 2)):
        engine.load = Load(1, 0, 0.1, preemptions, number=number)
        engine.regulator(0)
    assert engine.told(What.PREEMPTED) == [(3, 0.0), (1, 0.0), (2, 0.0)]
