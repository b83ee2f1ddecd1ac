"""One hundredth of `make fuzz`."""

from tests.fuzz.inputs import records
from tests.fuzz.path import Path

COUNT = 10_000


def test_no_input_crashes_the_decode_path_or_takes_without_bound() -> None:
    """Each becomes a result or a dead letter, byte for byte; all the ways are gone."""
    path = Path()
    path.run(records(seed=0, count=COUNT))
    assert path.outcomes.total() == COUNT
    assert set(path.outcomes) >= {
        "analyzed", "deleted", "not_json", "null_value", "invalid_event", "wrong_key", "invalid_header",
    }  # fmt: skip
