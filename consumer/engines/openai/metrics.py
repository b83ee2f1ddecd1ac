"""What a vLLM server tells of itself on its page of metrics. Pure."""

import re
from collections.abc import Iterator

from consumer.engines.contract import Load

_LINE = re.compile(r"^(vllm:\w+)(\{[^}]*\})? ([-+.\deEinfNa]+)", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def is_vllm(page: str) -> bool:
    """Whether the page is a vLLM's."""
    return "vllm:num_requests_running" in page


def load_of(page: str, number: int = 0) -> Load | None:
    """Requests added up over its engine cores, the fullest one's cache; None where the page is no vLLM's."""
    if not is_vllm(page):
        return None
    return Load(
        running=int(sum(_values(page, "vllm:num_requests_running"))),
        waiting=int(sum(_values(page, "vllm:num_requests_waiting"))),
        cache_usage=max(_values(page, "vllm:kv_cache_usage_perc"), default=0.0),
        preemptions=int(sum(_values(page, "vllm:num_preemptions_total"))),
        number=number,
    )


def cache_block(page: str) -> int:
    """Tokens of a block of its prefix cache; 0 where there is none."""
    for name, labels, _ in _LINE.findall(page):
        if name == "vllm:cache_config_info":
            config = dict(_LABEL.findall(labels))
            if config.get("enable_prefix_caching") == "True" and config.get("block_size", "").isdigit():
                return int(config["block_size"])
    return 0


def _values(page: str, wanted: str) -> Iterator[float]:
    return (float(value) for name, _, value in _LINE.findall(page) if name == wanted)
