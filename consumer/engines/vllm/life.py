"""One vLLM engine from its start to its death: what is in flight, when it last ticked, how all ends."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from consumer.engines.contract import Load
from consumer.engines.ending import Ending
from consumer.engines.vllm.processes import Processes


class Ticks:
    """A stat logger: vLLM calls `record` after every step, for each of its engine cores."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stats: dict[int, Any] = {}
        self._preemptions = self._number = self._step_tokens = 0
        self.last = clock()

    def __call__(self, config: Any, _index: int = 0) -> "Ticks":
        """Called as a factory, as vLLM wants one."""
        self._step_tokens = config.scheduler_config.max_num_batched_tokens
        return self

    def record(
        self, scheduler_stats: Any, iteration_stats: Any, mm_cache_stats: object = None, engine_idx: int = 0
    ) -> None:
        """One step of one core."""
        del mm_cache_stats
        self.last = self._clock()
        self._number += 1
        if scheduler_stats is not None:
            self._stats[engine_idx] = scheduler_stats
        if iteration_stats is not None:
            self._preemptions += iteration_stats.num_preempted_reqs

    def log_engine_initialized(self) -> None:
        """Nothing to say."""

    def log(self) -> None:
        """Nothing to say."""

    def record_sleep_state(self, *_: object) -> None:
        """It never sleeps here."""

    def load(self) -> Load | None:
        """Over all cores; the fullest one's cache. None before the first step."""
        if not self._stats:
            return None
        cores = self._stats.values()
        return Load(
            running=sum(core.num_running_reqs for core in cores),
            waiting=sum(core.num_waiting_reqs + core.num_skipped_waiting_reqs for core in cores),
            cache_usage=max(core.kv_cache_usage for core in cores),
            preemptions=self._preemptions,
            number=self._number,
            step_tokens=self._step_tokens * len(cores),
        )


class Life(Ending):
    """Holds an AsyncLLM, and knows how long it has been silent with work in flight."""

    def __init__(
        self, llm: Any, ticks: Ticks, processes: Processes, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self.llm, self.ticks, self.processes = llm, ticks, processes
        self._clock = clock
        self._in_flight, self._busy_since = 0, 0.0

    @contextmanager
    def flight(self) -> Iterator[None]:
        """One request is in flight."""
        if not self._in_flight:
            self._busy_since = self._clock()
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    def silence(self) -> float:
        """Seconds without a step while something is in flight; 0 when nothing is."""
        return self._clock() - max(self.ticks.last, self._busy_since) if self._in_flight else 0.0
