"""The alert rules: taken by promtool, each tried by a test, each with an entry in the runbook."""

import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.ops.deployed import DEPLOY, ROOT
from tests.ops.prometheus import promtool

RULES = DEPLOY / "prometheus" / "alerts.yml"
TRIED = DEPLOY / "prometheus" / "alerts_test.yml"


def alerts() -> list[dict[str, Any]]:
    """All of them."""
    return [rule for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"] for rule in group["rules"]]


def anchors(page: str) -> set[str]:
    """What a link can name: headings, as GitHub writes them, and ids."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    names = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return names | set(re.findall(r'<a id="([^"]+)">', page))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Promtool, to its end."""
    return subprocess.run(  # noqa: S603 - our own files
        [promtool(), *arguments], capture_output=True, text=True, check=False, cwd=DEPLOY / "prometheus"
    )


@pytest.mark.parametrize(
    "arguments",
    [("check", "config", "prometheus.yml"), ("check", "rules", "alerts.yml"), ("test", "rules", TRIED.name)],
)
def test_promtool_says_yes(arguments: tuple[str, ...]) -> None:
    """Configuration and rules are valid, and the rules do what their tests say."""
    done = run(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_tried() -> None:
    """It fires in one of the rules' tests, and in another moment it does not."""
    tried: dict[str, set[bool]] = {}
    for test in yaml.safe_load(TRIED.read_text("utf-8"))["tests"]:
        for case in test["alert_rule_test"]:
            tried.setdefault(case["alertname"], set()).add(bool(case.get("exp_alerts")))
    assert {alert["alert"] for alert in alerts()} == {name for name, both in tried.items() if both == {True, False}}


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: str(alert["alert"]))
def test_each_alert_says_what_to_do(alert: dict[str, Any]) -> None:
    """A line for whoever is woken, and a place in the runbook that exists."""
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert anchor in anchors((ROOT / page).read_text("utf-8"))
    assert alert["annotations"]["summary"]
    assert alert["labels"]["severity"] in {"page", "ticket"}


def test_the_runbook_has_no_entry_of_an_alert_that_is_gone() -> None:
    """Names are those of alerts."""
    page = (DEPLOY / "README.md").read_text("utf-8")
    named = set(re.findall(r"`(Review[A-Z]\w+)`", page)) - {"ReviewEvent"}
    assert named == {alert["alert"] for alert in alerts()}
