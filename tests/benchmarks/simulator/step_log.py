"""A vLLM scheduler that writes down what each step takes: the engine argument `scheduler_cls` names it.

It lives in vLLM's engine core, a process of its own, and appends to the file that `LOG_VARIABLE` names. Seconds are of
the monotonic clock, which all processes of a machine share.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

from vllm.v1.core.sched.scheduler import Scheduler

from tests.benchmarks.simulator.runs import LOG_VARIABLE


class LoggedScheduler(Scheduler):  # type: ignore[misc]  # vLLM is not there where types are checked
    """Schedules as its base does; see `runs.py` for the lines."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sink = Path(os.environ[LOG_VARIABLE]).open("a", buffering=1, encoding="utf-8")  # noqa: SIM115 - lives on
        self._arrived: dict[str, tuple[float, Any]] = {}
        self._cached: dict[str, int] = {}
        self._step: list[float] = []
        pool = self.kv_cache_manager.block_pool
        self._blocks = pool.num_gpu_blocks - 1  # one stands for "no block"
        self._say("cache", self._blocks)

    def add_request(self, request: Any) -> None:
        """Note when it came."""
        self._arrived[request.request_id] = (time.monotonic(), request)
        super().add_request(request)

    def schedule(self, *args: Any, **kwargs: Any) -> Any:
        """Note what the step is made of."""
        began = time.monotonic()
        output = super().schedule(*args, **kwargs)
        for new in output.scheduled_new_reqs:
            self._cached[new.req_id] = new.num_computed_tokens
        self._step = [began, *self._made_of(output)]
        return output

    def update_from_output(self, scheduler_output: Any, model_runner_output: Any) -> Any:
        """Write the step, and who finished."""
        outputs = super().update_from_output(scheduler_output, model_runner_output)
        if scheduler_output.total_num_scheduled_tokens:
            began, *made_of = self._step
            self._say("step", round(began, 4), round(time.monotonic(), 4), *made_of)
        for name in scheduler_output.num_scheduled_tokens:
            if name not in self.requests:
                arrived, request = self._arrived.pop(name)
                done = request.num_prompt_tokens, self._cached.pop(name), request.num_output_tokens, request.priority
                self._say("request", round(arrived, 6), *done)
        return outputs

    def _made_of(self, output: Any) -> list[int]:
        prefill = decoded = sampled = context = 0
        for name, new in output.num_scheduled_tokens.items():
            request = self.requests[name]
            after = request.num_computed_tokens  # the step's own are counted by now
            decodes = new == 1 and request.num_output_tokens > 0
            prefill += 0 if decodes else new
            decoded += decodes
            sampled += after == request.num_tokens
            context += after
        used = self._blocks - self.kv_cache_manager.block_pool.get_num_free_blocks()
        preempted = len(output.preempted_req_ids or ())
        return [prefill, decoded, sampled, context, len(self.running), len(self.waiting), used, preempted]

    def _say(self, *line: object) -> None:
        self._sink.write(json.dumps(line) + "\n")
