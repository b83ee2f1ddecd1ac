"""Every expression of panels and alerts, what it asks for, and what may be empty in a healthy run without a GPU."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import yaml

from deploy.grafana.__main__ import FILES
from tests.ops.deployed import DEPLOY
from tests.ops.scaling import FACTOR, scaled_query

_NO_VLLM: Final = "vLLM's own page: there is no vLLM here"
_NO_GPU: Final = "there is no GPU here"
_NO_FAULT: Final = "a counter of failures by label: its first series comes with its first failure"
EMPTY: Final = {
    r"vllm:\w+": _NO_VLLM,
    r"DCGM_\w+": _NO_GPU,
    r"review_consumer_gpu_\w+": _NO_GPU,
    r"review_consumer_cache_lookups_total": "the engine `local` is not cached: it answers faster than a cache looks up",
    r"review_consumer_prompt_cached_tokens_total": "the engine `local` has no prefix cache",
    r"review_consumer_engine_outages_total.*": _NO_FAULT,
    r"review_consumer_lost_partitions_total": _NO_FAULT,
    r"review_consumer_refused_partitions_total": _NO_FAULT,
    r"review_consumer_retries_total": _NO_FAULT,
    r"review_consumer_invalid_answers_total": _NO_FAULT,
    r"review_consumer_ungrounded_claims_total": _NO_FAULT,
    r"review_consumer_job_failures_total": _NO_FAULT,
    r"review_consumer_parked_jobs": "told with the first job that is parked",
    r'review_consumer_commit_seconds_count\{outcome=~"not_committed.*': _NO_FAULT,
    r"review_consumer_dead_letters_total\{reason!~.*": _NO_FAULT,
    r"review_consumer_paused_partitions.*": "told while a partition is paused",
}
"""Selectors, as patterns, that are expected to find nothing; with the reason."""

_WORDS: Final = r"(?:review_\w+|vllm:\w+|DCGM_\w+|process_\w+|up)\b"
_SELECTOR: Final = re.compile(rf"({_WORDS}(?:\{{[^}}]*\}})?)")


@dataclass(frozen=True, slots=True)
class Expression:
    """One, as it is written, and where it stands."""

    where: str
    text: str

    @property
    def selectors(self) -> list[str]:
        """The series that it asks for."""
        return _SELECTOR.findall(re.sub(r'"(?!\})[^"{}]*"(?=\s*\+)', "", self.text))

    @property
    def scaled(self) -> str:
        """In compressed time, Grafana's variable filled in."""
        return scaled_query(self.text, FACTOR)


def of_panels() -> Iterator[Expression]:
    """All queries of all dashboards."""
    for file, dashboard in FILES.items():
        for panel in dashboard.panels():
            for query in panel.queries:
                yield Expression(f"{file}: {panel.title}", query.expr)


def of_alerts() -> Iterator[Expression]:
    """All rules."""
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text("utf-8"))["groups"]:
        for rule in group["rules"]:
            yield Expression(f"alert {rule['alert']}", rule["expr"])


def may_be_empty(selector: str) -> str | None:
    """Why nothing is expected of it; None where something is."""
    return next((reason for pattern, reason in EMPTY.items() if re.fullmatch(pattern, selector)), None)
