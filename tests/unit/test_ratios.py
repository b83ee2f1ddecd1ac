"""Paired ratios: noise that both share cancels; the interval is Student's."""

from math import isclose

import pytest

from tests.benchmarks.ratios import paired


def test_a_constant_ratio_has_no_width_however_noisy_the_rounds_are() -> None:
    """Both were twice as slow in the second round."""
    found = paired([30, 15, 60], [20, 10, 40])
    assert isclose(found.mean, 1.5)
    assert isclose(found.low, found.high)


def test_the_interval_is_students_on_logarithms() -> None:
    """By hand: logs 0 and ln 4, mean ln 2, standard error ln 2, t of one degree of freedom 12.71."""
    found = paired([1, 4], [1, 1])
    assert isclose(found.mean, 2)
    assert isclose(found.high, 2 * 2**12.71, rel_tol=1e-9)
    assert isclose(found.low * found.high, found.mean**2)


def test_one_round_is_its_own_ratio_and_none_is_an_error() -> None:
    """As is another count of rounds."""
    assert str(paired([3], [2])) == "1.50 (1.50 to 1.50)"
    with pytest.raises(ValueError, match="no rounds"):
        paired([], [])
    with pytest.raises(ValueError, match="shorter"):
        paired([1, 2], [1])
