"""Starts vLLM. Everything here blocks, for a minute or more: it runs in a thread."""

import logging
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

from consumer.engines.vllm.arguments import CPU_BLOCK, Arguments
from consumer.engines.vllm.life import Ticks
from consumer.errors import ConfigError, EngineDown
from consumer.settings import environment_for_vllm

log = logging.getLogger(__name__)


def build(wanted: Arguments, ticks: Ticks) -> Any:
    """An AsyncLLM that has started. Raises ConfigError for what vLLM refuses, EngineDown where starting failed.

    vLLM bounds the start itself (VLLM_ENGINE_READY_TIMEOUT_S).
    """
    with environment_for_vllm():
        try:
            from vllm.v1.engine.async_llm import AsyncLLM  # noqa: PLC0415 - an extra, and seconds of importing
        except ImportError as error:
            raise ConfigError(f"the engine vllm needs vLLM ({error}): pip install 'review-consumer[vllm]'") from error
        config = _config(wanted)
        try:
            return AsyncLLM.from_vllm_config(config, stat_loggers=[ticks], disable_log_stats=True)
        except Exception as error:
            log.exception("vLLM did not start")
            raise EngineDown(f"vLLM did not start: {first_line(error)}") from error


def _config(wanted: Arguments) -> Any:
    from vllm.engine.arg_utils import AsyncEngineArgs  # noqa: PLC0415 - as above
    from vllm.platforms import current_platform  # noqa: PLC0415 - as above

    values = dict(wanted.values)
    _check_names(values, [field.name for field in fields(AsyncEngineArgs)])
    if current_platform.is_cpu():
        values.setdefault("block_size", CPU_BLOCK)
    try:
        return AsyncEngineArgs(**values).create_engine_config()
    except Exception as error:  # whatever it is, it comes from the model's files or the arguments
        raise ConfigError(
            f"vLLM refuses VLLM_MODEL={values['model']!r} with VLLM_ENGINE_ARGS: {first_line(error)}"
        ) from error


def _check_names(values: Mapping[str, Any], known: list[str]) -> None:
    for name in sorted(set(values) - set(known)):
        like = get_close_matches(name, known, 3)
        hint = f"; did you mean {' or '.join(like)}?" if like else ""
        raise ConfigError(f"VLLM_ENGINE_ARGS: vLLM has no engine argument {name!r}{hint}")


def first_line(error: BaseException) -> str:
    """Of an error's message, with its type."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {' '.join(lines[:3])[:300]}" if lines else type(error).__name__
