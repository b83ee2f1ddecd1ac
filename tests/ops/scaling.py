"""Alert rules and queries in compressed time: every duration that they name is divided by one factor.

An hour in two minutes is a factor of 30: `for: 5m` becomes 10 s, `[15m]` 30 s, `offset 10m` 20 s, and a comparison
with `5 * 60` seconds one with 10. Scraped every second, a window holds as many samples as with 30 s in production:
half of what the rules are written for, which a busy machine needs, since a page must come within the interval.
"""

import re
from copy import deepcopy
from typing import Any, Final

FACTOR: Final = 30
SCRAPE_SECONDS: Final = 30 / FACTOR
RATE_INTERVAL: Final = "2m"
"""What Grafana puts in place of $__rate_interval with a scrape interval of 30 s: four of them."""
SLOW_SECONDS: Final = 60
"""A panel's threshold from here on is of how late results are, and scaled; below, of the work itself, and not."""

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION: Final = r"(\d+)(ms|s|m|h|d)"


def scaled_duration(text: str, factor: float) -> str:
    """`5m` by 30 is `10000ms`."""
    number, unit = re.fullmatch(_DURATION, text).groups()  # type: ignore[union-attr] # promtool has checked them
    return f"{round(int(number) * _UNITS[unit] * 1000 / factor)}ms"


def scaled_expression(expression: str, factor: float) -> str:
    """Ranges, resolutions, offsets, and seconds written as `N * 60`."""

    def durations(found: re.Match[str]) -> str:
        return re.sub(_DURATION, lambda d: scaled_duration(d[0], factor), found[0])

    text = re.sub(rf"\[{_DURATION}(:{_DURATION})?\]|offset {_DURATION}", durations, expression)
    return re.sub(r"([\d.]+) \* 60\b", lambda n: f"{float(n[1]) * 60 / factor:g}", text)


def scaled_query(expression: str, factor: float) -> str:
    """A panel's, with Grafana's variable filled in."""
    return scaled_expression(expression.replace("$__rate_interval", RATE_INTERVAL), factor)


def scaled_rules(rules: dict[str, Any], factor: float) -> dict[str, Any]:
    """A file of alert rules."""
    made = deepcopy(rules)
    for rule in (rule for group in made["groups"] for rule in group["rules"]):
        rule["expr"] = scaled_expression(rule["expr"], factor)
        if "for" in rule:
            rule["for"] = scaled_duration(rule["for"], factor)
    return made
