"""The regulator: the adaptive ceiling where the engine tells its load, the most where it does not."""

from consumer.engines.contract import Load
from consumer.pipeline.regulator import Regulator
from consumer.stream.ceiling import Ceiling, CeilingRules

MOST = 10_000


def _regulator(load: Load | None) -> Regulator:
    return Regulator(Ceiling(10, 1000, CeilingRules()), MOST, lambda: load, lambda: 0.0)


def test_a_server_without_load_has_fixed_permits() -> None:
    """All that the settings allow, from the start."""
    regulator = _regulator(None)
    assert [regulator(0), regulator(5000)] == [MOST, MOST]


def test_one_that_tells_is_followed() -> None:
    """From a low start."""
    regulator = _regulator(Load(3, 0, 0.25, 0, number=1))
    assert [regulator(2000), regulator(2000)] == [3000, 3000]
