"""The engine contract, kept by vLLM's AsyncLLM in this process."""

import asyncio
import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from consumer.analysis.task import Kind, Task
from consumer.engines.contract import Answer, Deliver, Fault, Health, Load, Prepared
from consumer.engines.ending import together
from consumer.engines.fitting import Fitter, prepared
from consumer.engines.labels import Tokens, choose_labels
from consumer.engines.rendering import EMPTY
from consumer.engines.vllm import asking
from consumer.engines.vllm.arguments import Adapter, arguments
from consumer.engines.vllm.build import build, first_line
from consumer.engines.vllm.life import Life, Ticks
from consumer.engines.vllm.processes import Processes
from consumer.engines.vllm.tokens import encoder, voice_of
from consumer.errors import ConfigError, EngineDown
from schemas.headers import TRACEPARENT

log = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 5.0
"""For vLLM's own way down; then its processes are killed."""
KILL_SECONDS = 5.0
WARM_UP_SECONDS = 600.0
BUDGET_SETTING = "VLLM_MAX_TOKENS_PER_BATCH"
TRACES = "otlp_traces_endpoint"
"""The engine argument without which vLLM warns of a trace."""

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class VllmRules:
    """How the engine is made and watched."""

    model: str
    args: Mapping[str, Any]
    budget: int
    """Tokens of a micro-batch: at the start it is checked that each kind of task has room in it."""
    stall_seconds: float


@dataclass(frozen=True, slots=True)
class _Ready:
    """What was found out about a model when it started."""

    fitter: Fitter
    labels: Tokens
    sampling: Mapping[Kind, Any]
    block: int
    """Tokens of a block of the prefix cache; 0: there is none."""


class VllmEngine:
    """One AsyncLLM at a time. `stop` and `start` again give a new one, in new processes."""

    name = "vllm"

    def __init__(self, rules: VllmRules) -> None:
        self._rules, self._wanted = rules, arguments(rules.model, rules.args)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tokenize")
        self._life: Life | None = None
        self._ready: _Ready | None = None
        self._processes: Processes | None = None
        self._watch: asyncio.Task[None] | None = None
        self._reason = "not started"
        self._numbers = itertools.count()

    @property
    def model(self) -> str:
        """The model, and the adapter after a `+`."""
        return self._wanted.model

    async def start(self) -> None:
        """Build, look at the model, and warm up. Takes a minute or more; the event loop goes on."""
        if self.health().ready:
            return
        await self.stop()
        self._reason = "starting"
        try:
            self._processes = processes = Processes()
            ticks = Ticks()
            llm = await asyncio.to_thread(build, self._wanted, ticks)
            processes.look()
            self._life = life = Life(llm, ticks, processes)
            self._ready = ready = await self._in_thread(partial(self._look_at, llm))
            await self._warm_up(life, ready)
            self._watch = asyncio.create_task(self._watched(life), name="watch vllm")
        except BaseException as error:
            self._reason = f"did not start: {error}" if isinstance(error, ConfigError | EngineDown) else "did not start"
            raise
        self._reason = ""

    async def stop(self) -> None:
        """What is in flight ends with EngineDown; the engine's processes are gone when this returns, in seconds."""
        life, self._life, self._ready = self._life, None, None
        processes, self._processes = self._processes, None
        watch, self._watch = self._watch, None
        self._reason = "stopped" if processes or not self._reason else self._reason
        if watch:
            watch.cancel()
        if life:
            life.end("the vllm engine was stopped")
            await _bounded(SHUTDOWN_SECONDS + 1, life.llm.shutdown, SHUTDOWN_SECONDS)
        if processes:
            await processes.kill(KILL_SECONDS)

    def health(self) -> Health:
        """Ready from the end of the start until it dies, hangs or is stopped."""
        reason = self._reason or (self._life.over if self._life else "stopped")
        return Health(not reason, reason)

    def load(self) -> Load | None:
        """As of the last step."""
        return self._life.ticks.load() if self._life else None

    async def prepare(self, tasks: Sequence[Task], budget: int) -> list[Prepared]:
        """Tokenise in one thread; the payload is the prompt's ids."""
        _, ready = self._living()
        return await self._in_thread(lambda: _prepared(ready, tasks, budget))

    async def run(self, batch: Sequence[Prepared], deliver: Deliver) -> None:
        """Every item is a request of its own."""
        life, ready = self._living()
        async with life.scope():
            await together(self._deliver(life, ready, its, partial(deliver, n)) for n, its in enumerate(batch))

    async def _deliver(
        self, life: Life, ready: _Ready, its: Prepared, deliver: Callable[[Answer | Fault], None]
    ) -> None:
        deliver(await self._ask(life, ready.labels, its, ready.sampling[its.task.kind]))

    async def _ask(self, life: Life, labels: Tokens, its: Prepared, params: Any) -> Answer | Fault:
        kind, said = its.task.kind, None
        try:
            with life.flight():
                async for said in self._request(life, its, params):  # noqa: B007 - the last one is the answer
                    pass
        except Exception as error:
            if fault := asking.fault_of(error):
                return fault
            life.end(f"the vllm engine died: {first_line(error)}")
            raise EngineDown(life.over) from error
        return asking.read(kind, said, labels)

    def _request(self, life: Life, its: Prepared, params: Any) -> Any:
        from vllm.inputs import tokens_input  # noqa: PLC0415 - an extra: imported by now

        return life.llm.generate(
            tokens_input(its.payload),
            params,
            f"review-{next(self._numbers)}",
            priority=asking.PRIORITY[its.task.kind],
            lora_request=_lora(self._wanted.adapter),
            trace_headers={TRACEPARENT: its.trace} if its.trace and TRACES in self._rules.args else None,
        )

    def _look_at(self, llm: Any) -> _Ready:
        """What the model needs: its voice, its labels, its room. Raises ConfigError."""
        tokenizer = llm.get_tokenizer()
        encode = encoder(tokenizer)
        voice, labels = choose_labels(voice_of(tokenizer), lambda text: encode([text])[0])
        fitter = Fitter(voice, encode, llm.model_config.max_model_len)
        fitter.require_room(self._rules.budget, BUDGET_SETTING)
        cache = llm.vllm_config.cache_config
        block = cache.block_size if cache.enable_prefix_caching else 0
        return _Ready(fitter, labels, asking.sampling(fitter.answers, labels), block)

    async def _warm_up(self, life: Life, ready: _Ready) -> None:
        """One short request of each kind: grammars and kernels compile, and shared prompts enter the cache.

        That may take far longer than a step ever does later: its bound is its own.
        """
        batch = await self._in_thread(lambda: _prepared(ready, list(EMPTY.values()), self._rules.budget))
        try:
            async with asyncio.timeout(WARM_UP_SECONDS):
                await together(
                    self._ask(life, ready.labels, its, asking.warming(its.task.kind, ready.labels)) for its in batch
                )
        except TimeoutError:
            raise EngineDown(f"the vllm engine gave no first answer within {WARM_UP_SECONDS:g} s") from None

    async def _watched(self, life: Life) -> None:
        """End a life that has died or hangs. A stopped worker passes vLLM's own health check: its ticks tell."""
        while not life.over:
            await asyncio.sleep(min(1.0, self._rules.stall_seconds / 4))
            life.processes.look()
            if life.llm.errored:
                life.end("the vllm engine died")
            elif life.silence() > self._rules.stall_seconds:
                life.end(f"the vllm engine hangs: no step for {self._rules.stall_seconds:g} s with work in flight")

    def _living(self) -> tuple[Life, _Ready]:
        if self._reason or self._life is None or self._ready is None:
            raise EngineDown(f"the vllm engine is {self._reason or 'stopped'}")
        self._life.check()
        return self._life, self._ready

    async def _in_thread(self, work: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _prepared(ready: _Ready, tasks: Sequence[Task], budget: int) -> list[Prepared]:
    return [prepared(its, [*its.head, *its.tail], ready.block) for its in ready.fitter.fit(tasks, budget)]


def _lora(adapter: Adapter | None) -> Any:
    if adapter is None:
        return None
    from vllm.lora.request import LoRARequest  # noqa: PLC0415 - an extra: imported by now

    return LoRARequest(adapter.name, 1, adapter.path)


async def _bounded(seconds: float, work: Callable[..., object], *args: object) -> None:
    """Blocking work, in a thread, waited for no longer than this."""
    try:
        async with asyncio.timeout(seconds):
            await asyncio.to_thread(work, *args)
    except TimeoutError:
        log.warning("vLLM's own shutdown took too long", extra={"seconds": seconds})
    except Exception:
        log.exception("vLLM's own shutdown failed")
