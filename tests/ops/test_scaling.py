"""Compressed time, by hand."""

import pytest

from tests.ops.scaling import scaled_expression, scaled_query, scaled_rules


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("max(x_seconds) > 5 * 60", "max(x_seconds) > 10"),
        ("increase(x[15m]) > 6", "increase(x[30000ms]) > 6"),
        ("a > 0.25 * max(a[1h:1m] offset 10m)", "a > 0.25 * max(a[120000ms:2000ms] offset 20000ms)"),
        ('x{reason="60m"} > 0.5 * 60', 'x{reason="60m"} > 1'),
    ],
)
def test_an_expression(written: str, expected: str) -> None:
    """Counts and shares stay as they are."""
    assert scaled_expression(written, 30) == expected


def test_a_panel() -> None:
    """With what Grafana would put there."""
    assert scaled_query("rate(x[$__rate_interval])", 30) == "rate(x[4000ms])"


def test_rules() -> None:
    """What is given stays as it was."""
    rules = {"groups": [{"rules": [{"expr": "x > 1", "for": "5m"}, {"expr": "y[30m]"}]}]}
    assert scaled_rules(rules, 30) == {
        "groups": [{"rules": [{"expr": "x > 1", "for": "10000ms"}, {"expr": "y[60000ms]"}]}]
    }
    assert rules["groups"][0]["rules"][0]["for"] == "5m"
