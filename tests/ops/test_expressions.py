"""A real Prometheus scrapes a real consumer at work: every expression of panels and alerts finds something."""

import pytest

from tests.ops.conftest import Watched
from tests.ops.expressions import EMPTY, Expression, may_be_empty, of_alerts, of_panels
from tests.ops.stage import page


@pytest.mark.parametrize("expression", list(of_panels()), ids=lambda e: e.where)
def test_a_panel_shows_something(watched: Watched, expression: Expression) -> None:
    """Or one of the series that it asks for is expected to be missing here."""
    if not any(map(may_be_empty, expression.selectors)):
        assert watched.prometheus.query(expression.scaled), expression.text


@pytest.mark.parametrize("expression", list(of_alerts()), ids=lambda e: e.where)
def test_an_alert_watches_something(watched: Watched, expression: Expression) -> None:
    """Whatever it compares is there; the whole of it is a filter, and empty when all is well."""
    assert expression.selectors
    for selector in expression.selectors:
        if not may_be_empty(selector):
            assert watched.prometheus.query(selector), selector
    watched.prometheus.query(expression.scaled)  # raises where it cannot be evaluated


def test_what_is_expected_to_be_missing_is_asked_for() -> None:
    """No exception outlives its reason."""
    asked = {selector for e in (*of_panels(), *of_alerts()) for selector in e.selectors}
    for pattern in EMPTY:
        assert any(may_be_empty(selector) == EMPTY[pattern] for selector in asked), pattern


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_pages_that_probes_ask_for(watched: Watched, path: str) -> None:
    """Of both programs, on the ports that they are given."""
    assert page(f"{watched.consumer}{path}")
    assert page(f"{watched.gateway}{path}")
