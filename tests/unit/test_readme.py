"""The README keeps up with what it describes."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from consumer.cli import app
from consumer.settings import entries, load
from producer.gateway.app import ENDPOINTS
from producer.settings import gateway_table

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def test_the_table_of_settings_is_the_generated_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run `review-consumer config --markdown` and put its output between the two marks."""
    for entry in list(entries(load())):
        monkeypatch.delenv(entry.variable, raising=False)
    made = CliRunner().invoke(app, ["config", "--markdown"]).output.strip()
    shown = re.search(r"config --markdown` -->\n(.*)\n<!-- end of settings", README, re.DOTALL)
    assert shown
    assert shown[1].strip() == made


def test_the_table_of_the_gateways_settings_is_the_generated_one() -> None:
    """Run `review-producer gateway --markdown` and put its output between the two marks."""
    shown = re.search(r"gateway --markdown` -->\n(.*)\n<!-- end of gateway settings", README, re.DOTALL)
    assert shown
    assert shown[1] == gateway_table()


def test_the_bodies_are_the_examples_that_the_gateway_is_tested_with() -> None:
    """Word for word, each for its path."""
    shown = re.findall(r"curl -s localhost:8000(\S+) [^\n]+ -d '\n +(\{[^\n]+)'", README)
    expected = {endpoint.path: endpoint.example for endpoint in ENDPOINTS}
    assert {path: json.loads(body) for path, body in shown} == expected


@pytest.mark.parametrize(
    "page", sorted(p for p in ROOT.rglob("*.md") if not any(part.startswith(".") for part in p.relative_to(ROOT).parts))
)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """Files and folders of the repository that a page links to exist."""
    for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target
