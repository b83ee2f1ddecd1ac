"""A recorded run of a real engine: what it was asked, and each step that it took.

A file is gzipped JSON lines: first the run's description, then in order of time

    ["request", arrived, prompt, cached, output, priority]
    ["step", began, ended, prefill, decoded, sampled, context, running, waiting, blocks, preempted]

with seconds since the run's start and tokens, as `Request` and `StepRow` name them.
"""

import gzip
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks.simulator.machine import Limits

RECORDED = Path(__file__).parent / "recorded"
LOG_VARIABLE = "SIMULATOR_STEP_LOG"


class Request(NamedTuple):
    """One request, by what became of it."""

    arrived: float
    prompt: int
    cached: int
    """Of the prompt, when it first began."""
    output: int
    priority: int


class StepRow(NamedTuple):
    """One step."""

    began: float
    ended: float
    """When its tokens were there. The next step may begin later."""
    prefill: int
    """Tokens of prompts, or of what was preempted and is computed again."""
    decoded: int
    """Sequences that went on by one token."""
    sampled: int
    """Sequences that got their next token: those, and the ones whose prompt ended here."""
    context: int
    """Tokens that its sequences hold."""
    running: int
    waiting: int
    blocks: int
    """KV blocks in use."""
    preempted: int


@dataclass(frozen=True, slots=True)
class Run:
    """As recorded."""

    about: dict[str, Any]
    """`name`, `fitted` (or kept for prediction), `in_flight`, `limits`, `engine_args`, `vllm`, `cpu`, ..."""
    requests: Sequence[Request]
    steps: Sequence[StepRow]

    @property
    def limits(self) -> Limits:
        """Of its engine."""
        return Limits(**self.about["limits"])

    @property
    def in_flight(self) -> int:
        """Requests at most: the next one is sent when one is answered."""
        return int(self.about["in_flight"])

    @property
    def seconds(self) -> float:
        """From the first step's begin to the last one's end."""
        return self.steps[-1].ended - self.steps[0].began

    @property
    def preemptions(self) -> int:
        """In all."""
        return sum(step.preempted for step in self.steps)


def write(path: Path, run: Run) -> None:
    """The same bytes for the same run."""
    lines = [run.about, *_lines(run)]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def _lines(run: Run) -> Iterable[list[Any]]:
    requests = [["request", *request] for request in run.requests]
    return [*requests, *(["step", *step] for step in run.steps)]


def read(path: Path) -> Run:
    """What `write` wrote."""
    about, *lines = map(json.loads, gzip.decompress(path.read_bytes()).decode().splitlines())
    return Run(about, *of_lines(lines))


def of_lines(lines: Sequence[Sequence[Any]]) -> tuple[list[Request], list[StepRow]]:
    """Requests in order of arrival, and steps."""
    requests = [Request(*rest) for what, *rest in lines if what == "request"]
    return sorted(requests), [StepRow(*rest) for what, *rest in lines if what == "step"]


def recorded() -> list[Run]:
    """All that are kept here, by name."""
    return [read(path) for path in sorted(RECORDED.glob("*.jsonl.gz"))]
