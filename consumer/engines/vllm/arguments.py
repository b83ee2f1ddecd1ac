"""From `VLLM_MODEL` and `VLLM_ENGINE_ARGS` to vLLM's engine arguments."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from consumer.errors import ConfigError

_OURS = {
    "model": "set VLLM_MODEL",
    "scheduling_policy": "it is always priority",
    "disable_log_stats": "the engine's load is always read",
}
CPU_BLOCK = 32
"""Tokens of a block on the CPU, where vLLM's own 128 would hold hardly any prompt's shared part."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter: every request uses it."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Arguments:
    """What vLLM is started with."""

    values: Mapping[str, Any]
    adapter: Adapter | None
    model: str
    """The model's name for provenance: of a folder its last part; with an adapter `name+adapter`."""


def arguments(model: str, given: Mapping[str, Any]) -> Arguments:
    """Ours beside what is given. Raises ConfigError for what cannot be given."""
    for name, why in _OURS.items():
        if name in given:
            raise ConfigError(f"VLLM_ENGINE_ARGS: {name!r} cannot be given: {why}")
    values = {"enable_prefix_caching": True, **given}
    adapter = _adapter(values.pop("lora_modules", None))
    if adapter:
        values["enable_lora"] = True
    outputs = values.get("structured_outputs_config") or {}
    if not isinstance(outputs, Mapping):
        raise ConfigError("VLLM_ENGINE_ARGS: 'structured_outputs_config' must be an object")
    # JSON grammars allow endless whitespace otherwise, and small models use it
    values["structured_outputs_config"] = {"backend": "xgrammar", **outputs, "disable_any_whitespace": True}
    values |= {"model": model, "scheduling_policy": "priority"}
    return Arguments(values, adapter, _name(model, values.get("served_model_name"), adapter))


def _adapter(given: object) -> Adapter | None:
    if given is None:
        return None
    match given:
        case [{"name": str(name), "path": str(path)}] if name and path:
            return Adapter(name, path)
    raise ConfigError(
        f'VLLM_ENGINE_ARGS: lora_modules={given!r}: give exactly one, as [{{"name": "reviews", "path": "/adapters/x"}}]'
    )


def _name(model: str, served: object, adapter: Adapter | None) -> str:
    known = served[0] if isinstance(served, list) and served else served
    folder = PurePath(model).name if model.startswith(("/", ".", "~")) else model
    name = known if isinstance(known, str) and known else folder
    return f"{name}+{adapter.name}" if adapter else name
