"""The engine contract on a machine: what is asked says itself how long it is and how long its answer will be."""

import asyncio
from collections.abc import Sequence as Many
from dataclasses import dataclass
from typing import NamedTuple

from consumer.analysis.task import Kind, Task
from consumer.engines.contract import Answer, Deliver, Health, Load, Prepared
from schemas.base import Sentiment
from tests.benchmarks.simulator.machine import Cost, Limits, Machine, Sequence

PREFIX = {Kind.SENTIMENT: 240, Kind.SUMMARY: 480, Kind.COMPARISON: 320, Kind.STRENGTH: 480}
"""Tokens of the shared parts of the prompts, as Gemma's tokenizer cuts them, in whole blocks."""
LONGEST = {Kind.SENTIMENT: 1, Kind.SUMMARY: 1629, Kind.COMPARISON: 206, Kind.STRENGTH: 517}
"""Tokens that an answer may take: as `consumer/engines/fitting.py` has it with that tokenizer."""
PRIORITY = {Kind.SENTIMENT: 0}
_LABEL = Answer(label_logprobs={Sentiment.POSITIVE: -0.1, Sentiment.NEGATIVE: -2.4}, output_tokens=1)
_TEXT = Answer(text="{}")


def task(kind: Kind, tokens: int, output: int = 1) -> Task:
    """A question of so many tokens beside its prompt's shared part, and its answer's."""
    return Task(kind, "ko", (f"{tokens} {output}",))


class Length(NamedTuple):
    """Tokens of a prompt beside its shared part, and of its answer."""

    own: int
    output: int


@dataclass(slots=True)
class _Run:
    """One batch: the tasks in it and who takes the answers."""

    deliver: Deliver
    open: int
    done: asyncio.Event
    error: Exception | None = None

    def take(self, index: int, answer: Answer) -> None:
        """The caller's error ends the batch."""
        self.open -= 1
        try:
            self.deliver(index, answer)
        except Exception as error:  # noqa: BLE001 - raised where the batch is awaited
            self.error = error
        if self.error or not self.open:
            self.done.set()


class SimulatedEngine:
    """Steps as long as there is something to compute; virtual time passes meanwhile."""

    name, model = "simulated", "machine"

    def __init__(self, limits: Limits, cost: Cost) -> None:
        self.machine = Machine(limits, cost)
        self.busy = 0.0
        """Seconds in which it computed."""
        self.held = 0
        """Most KV blocks that all it was given at once would take."""
        self._steps = 0
        self._work = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._inside = 0

    async def start(self) -> None:
        """Ready at once."""
        self._loop = asyncio.create_task(self._run_steps(), name="steps")

    async def stop(self) -> None:
        """No more steps."""
        if self._loop:
            self._loop.cancel()

    def health(self) -> Health:
        """Ready once started."""
        return Health(self._loop is not None)

    def load(self) -> Load | None:
        """After the last step, as vLLM tells it."""
        machine = self.machine
        return Load(
            len(machine.running),
            machine.waiting,
            machine.usage,
            machine.preemptions,
            self._steps,
            machine.limits.step_tokens,
        )

    async def prepare(self, tasks: Many[Task], budget: int) -> list[Prepared]:
        """Cut to the budget, as engines do."""
        return [self._prepared(one, budget) for one in tasks]

    def _prepared(self, one: Task, budget: int) -> Prepared:
        tokens, output = map(int, one.reviews[0].split())
        prefix, longest = PREFIX[one.kind], LONGEST[one.kind]
        own = min(tokens, budget - prefix - longest)
        return Prepared(one, own + longest, str(one.kind), prefix, own < tokens, Length(own, min(output, longest)))

    async def run(self, batch: Many[Prepared], deliver: Deliver) -> None:
        """Every item is a sequence of its own."""
        run = _Run(deliver, len(batch), asyncio.Event())
        sequences = [self._sequence(its, run, index) for index, its in enumerate(batch)]
        for sequence in sequences:
            self.machine.add(sequence)
            self._inside += self._blocks(sequence)
        self.held = max(self.held, self._inside)
        self._work.set()
        try:
            await run.done.wait()
        finally:
            for sequence in sequences:
                if sequence.generated < sequence.output:
                    self.machine.drop(sequence)
                    self._inside -= self._blocks(sequence)
        if run.error:
            raise run.error

    def _sequence(self, its: Prepared, run: _Run, index: int) -> Sequence:
        length, kind = its.payload, its.task.kind
        if not isinstance(length, Length):
            raise TypeError("a task that another engine has prepared")
        prompt = its.prefix_tokens + length.own
        return Sequence(prompt, length.output, its.prefix_tokens, PRIORITY.get(kind, 1), (run, index, kind))

    def _blocks(self, sequence: Sequence) -> int:
        return -(-(sequence.prompt - sequence.cached + sequence.output) // self.machine.limits.block)

    async def _run_steps(self) -> None:
        while True:
            self._work.clear()
            while len(self.machine):
                step = self.machine.step()
                await asyncio.sleep(step.seconds)
                self.busy += step.seconds
                self._steps += 1
                for sequence in step.finished:
                    run, index, kind = sequence.owner
                    self._inside -= self._blocks(sequence)
                    run.take(index, _LABEL if kind is Kind.SENTIMENT else _TEXT)
            await self._work.wait()
