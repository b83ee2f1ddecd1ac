"""The engine contract, kept by a server that speaks OpenAI's API."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from consumer.analysis.task import Task
from consumer.engines.contract import Answer, Deliver, Fault, Health, Load, Prepared
from consumer.engines.ending import Ending, together
from consumer.engines.fitting import Fitted, Fitter, prepared
from consumer.engines.openai.counting import Counting
from consumer.engines.openai.metrics import cache_block, is_vllm, load_of
from consumer.engines.openai.probing import Probe
from consumer.engines.openai.requests import Abilities, read, request
from consumer.engines.openai.wire import TooLong, Wire
from consumer.engines.rendering import Voice
from consumer.errors import DeadLetter, EngineDown, EngineUnavailable, RetryLater

log = logging.getLogger(__name__)

LOAD_SECONDS = 1.0
UNKNOWN_CONTEXT = 1_000_000
"""Where a server does not tell its context, the budget is what bounds a prompt."""
SHORTER = 2
"""A prompt that the server finds too long is cut to this fraction, and again: estimates may be far off."""
TRIES = 4
BUDGET_SETTING = "VLLM_MAX_TOKENS_PER_BATCH"

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class OpenAIRules:
    """Which server, and how it is asked."""

    base_url: str
    api_key: str | None
    model: str
    tokenizer: str | None
    """A tokenizer.json, a folder that holds one, or a model's name; None: tokens are estimated."""
    budget: int
    timeout: float
    """Seconds for one request."""
    connections: int


class _Server(Ending):
    """One start's connection to the server, and what it was found to be able to."""

    def __init__(self, wire: Wire, root: str) -> None:
        super().__init__()
        self.wire, self.root = wire, root
        self.can, self.voice = Abilities(""), Voice()
        self.block = 0
        self.load: Load | None = None
        self.pages = 0
        """So many times it was read."""
        self.seen = 0.0
        """When the load was read; monotonic seconds."""
        self.polling: asyncio.Task[None] | None = None


@dataclass(slots=True)
class _Run:
    """One batch: the first refusal keeps what was not sent yet from being sent."""

    refusal: EngineUnavailable | None = None


class OpenAIEngine:
    """What a server accepts is found out at each start. `stop` and `start` again give new connections."""

    name = "openai"

    def __init__(self, rules: OpenAIRules) -> None:
        self._rules = rules
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tokenize")
        self._counting = Counting(rules.tokenizer)
        self._server: _Server | None = None
        self._fitter: Fitter | None = None
        self._reason = "not started"

    @property
    def model(self) -> str:
        """As the server calls it."""
        return self._rules.model

    async def start(self) -> None:
        """Find out what the server can. Raises ConfigError for a wrong address, key or model."""
        if self.health().ready:
            return
        await self.stop()
        rules = self._rules
        wire = Wire(rules.base_url, rules.api_key, rules.timeout, rules.connections)
        self._server = server = _Server(wire, wire.base_url.removesuffix("/v1"))
        try:
            await self._in_thread(self._counting.open)
            probe = Probe(wire, rules.model)
            context = await probe.context()
            page = await wire.text(f"{server.root}/metrics")
            server.block, server.load = cache_block(page), load_of(page)
            server.can, server.voice = await probe.abilities(is_vllm=is_vllm(page))
            fitter = await self._in_thread(
                lambda: Fitter(server.voice, self._counting.encode, context or UNKNOWN_CONTEXT)
            )
            await self._in_thread(lambda: fitter.require_room(rules.budget, BUDGET_SETTING))
        except BaseException as error:
            self._reason = f"did not start: {error}" if isinstance(error, Exception) else "did not start"
            raise
        self._fitter, self._reason = fitter, ""
        self._tell(server.can)
        if server.load:
            server.polling = asyncio.create_task(self._poll(server), name="poll the server's load")

    async def stop(self) -> None:
        """What is in flight ends with EngineDown; connections are closed."""
        server, self._server, self._fitter = self._server, None, None
        if server:
            self._reason = "stopped"
            server.end("the openai engine was stopped")
            if server.polling:
                server.polling.cancel()
            await server.wire.close()

    def health(self) -> Health:
        """Not ready while the server cannot be reached, or refuses."""
        return Health(not self._reason, self._reason)

    def load(self) -> Load | None:
        """Of a vLLM server, a second old or two; None of others, and of one that has fallen silent."""
        server = self._server
        if server is None or time.monotonic() - server.seen > 10 * LOAD_SECONDS:
            return None
        return server.load

    async def prepare(self, tasks: Sequence[Task], budget: int) -> list[Prepared]:
        """Count in one thread; the payload is the prompt."""
        server, fitter = self._up()
        fitted = await self._in_thread(lambda: fitter.fit(tasks, budget))
        return [prepared(its, its, server.block) for its in fitted]

    async def run(self, batch: Sequence[Prepared], deliver: Deliver) -> None:
        """Every item is a request of its own. A refusal is raised when those that were sent have come back."""
        server, fitter = self._up()
        run = _Run()
        async with server.scope():
            await together(self._item(server, fitter, run, its, partial(deliver, n)) for n, its in enumerate(batch))
        if run.refusal:
            raise run.refusal

    async def _item(
        self, server: _Server, fitter: Fitter, run: _Run, its: Prepared, deliver: Callable[[Answer | Fault], None]
    ) -> None:
        async with server.wire.slots:
            if run.refusal:
                return
            try:
                outcome = await self._outcome(server, fitter, its)
            except EngineUnavailable as refusal:
                run.refusal, self._reason = run.refusal or refusal, str(refusal)
                return
        self._reason = ""
        deliver(outcome)

    async def _outcome(self, server: _Server, fitter: Fitter, its: Prepared) -> Answer | Fault:
        try:
            return await self._answer(server, fitter, its)
        except (RetryLater, DeadLetter) as fault:
            return fault

    async def _answer(self, server: _Server, fitter: Fitter, its: Prepared) -> Answer:
        """Ask; where the server finds the prompt too long, again with less of it."""
        fitted: Fitted = its.payload  # type: ignore[assignment]
        size = its.prefix_tokens + its.own_tokens
        for _ in range(TRIES):
            try:
                answer = await self._ask(server, fitted, its.trace)
            except TooLong:
                size //= SHORTER
                try:
                    (fitted,) = await self._in_thread(partial(fitter.fit, [its.task], size))
                except ValueError as error:
                    raise TooLong from error
            else:
                return replace(answer, truncated=fitted.truncated)
        raise TooLong

    async def _ask(self, server: _Server, fitted: Fitted, trace: str | None) -> Answer:
        kind, can = fitted.task.kind, server.can
        said = await server.wire.post(can.path, request(can, kind, fitted.prompt, fitted.answer), trace)
        answer = read(can, server.voice, kind, said)
        self._counting.learn(fitted.prompt.text, answer.prompt_tokens)
        return answer

    async def _poll(self, server: _Server) -> None:
        while not server.over:
            page = await server.wire.text(f"{server.root}/metrics")
            server.pages += 1
            server.load, server.seen = load_of(page, server.pages), time.monotonic()
            await asyncio.sleep(LOAD_SECONDS)

    def _up(self) -> tuple[_Server, Fitter]:
        if self._server is None or self._fitter is None:
            raise EngineDown(f"the openai engine is {self._reason}")
        self._server.check()
        return self._server, self._fitter

    def _tell(self, can: Abilities) -> None:
        said = {"path": can.path, "labels": can.labels.value, "json": can.form.value, "priority": can.priority}
        log.info("the server answers", extra={"server": self._rules.base_url, **said})

    async def _in_thread(self, work: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
