"""What vLLM is started with: ours, and what may be given."""

from typing import Any

import pytest

from consumer.engines.vllm.arguments import Adapter, arguments
from consumer.errors import ConfigError


def test_ours_stand_beside_what_is_given() -> None:
    """Priorities, the prefix cache, no whitespace in JSON; the rest is vLLM's own default."""
    made = arguments("org/model", {"max_model_len": 8192, "structured_outputs_config": {"backend": "guidance"}})
    assert made.values == {
        "model": "org/model",
        "max_model_len": 8192,
        "enable_prefix_caching": True,
        "scheduling_policy": "priority",
        "structured_outputs_config": {"backend": "guidance", "disable_any_whitespace": True},
    }
    assert made.adapter is None


@pytest.mark.parametrize("name", ["model", "scheduling_policy", "disable_log_stats"])
def test_what_the_engine_rests_on_cannot_be_given(name: str) -> None:
    """The message says where it is set, or why it is not."""
    with pytest.raises(ConfigError, match=rf"VLLM_ENGINE_ARGS: '{name}' cannot be given: (set|it is|the engine)"):
        arguments("m", {name: "x"})


def test_one_adapter_serves_all_requests_and_is_named() -> None:
    """In the model's name, to which a calibration is bound."""
    made = arguments("org/model", {"lora_modules": [{"name": "reviews", "path": "/adapters/reviews"}]})
    assert made.adapter == Adapter("reviews", "/adapters/reviews")
    assert made.values["enable_lora"] is True
    assert "lora_modules" not in made.values
    assert made.model == "org/model+reviews"


@pytest.mark.parametrize(
    "given", [[], "x=y", [{"name": "x"}], [{"name": "a", "path": "b"}, {"name": "c", "path": "d"}], [{"name": 1}]]
)
def test_anything_but_one_adapter_is_refused(given: Any) -> None:
    """With the form that is allowed."""
    with pytest.raises(ConfigError, match="give exactly one"):
        arguments("m", {"lora_modules": given})


@pytest.mark.parametrize(
    ("model", "served", "name"),
    [
        ("Qwen/Qwen3-8B", None, "Qwen/Qwen3-8B"),
        ("/models/qwen3-8b", None, "qwen3-8b"),
        ("/models/qwen3-8b", "qwen", "qwen"),
        ("/models/qwen3-8b", ["qwen", "other"], "qwen"),
    ],
)
def test_a_model_has_a_stable_name_without_the_machines_paths(model: str, served: Any, name: str) -> None:
    """It is published in every result."""
    assert arguments(model, {"served_model_name": served} if served else {}).model == name
