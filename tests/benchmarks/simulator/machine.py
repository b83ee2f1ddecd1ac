"""An engine with continuous batching, as vLLM's scheduler packs its steps. Pure: a step says what it took.

Each step first gives every running sequence its tokens (one, or a chunk of its prompt), then admits waiting ones while
the step's tokens, the sequences and the KV blocks allow. A sequence that finds no block takes those of the least
urgent, latest one, which waits again and is computed anew: a preemption. What nobody has taken of its blocks meanwhile
it finds again, by the prefix cache. (vllm/v1/core/sched/scheduler.py and block_pool.py, 0.32.)
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from tests.benchmarks.simulator.blocks import FreeBlocks


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a step."""

    sequences: int
    step_tokens: int
    block: int
    """Tokens of a KV block."""
    blocks: int | None
    """None: never short."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a step computes."""

    tokens: int
    decoded: int
    """Sequences that go on by one token: as many of the tokens."""
    sampled: int
    """Sequences that get their next token: those, and the ones whose prompt ends here."""
    context: int
    """Tokens that its sequences hold."""


Cost = Callable[[Work], float]
"""Seconds of a step."""


@dataclass(eq=False, slots=True)
class Sequence:
    """One request. `output` is known here, as an engine's is not."""

    prompt: int
    output: int
    cached: int = 0
    """Of the prompt: shared, and always in the cache."""
    priority: int = 0
    owner: Any = None
    computed: int = 0
    generated: int = 0
    blocks: int = 0
    arrived: int = 0
    preemptions: int = 0
    new: int = field(default=0, repr=False)

    @property
    def known(self) -> int:
        """Tokens of it so far."""
        return self.prompt + self.generated


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the machine."""

    seconds: float
    work: Work
    finished: tuple[Sequence, ...]
    preempted: int


class Machine:
    """Holds sequences; every `step` moves them on. `reserving`: no preemption, each takes all its blocks at once."""

    def __init__(self, limits: Limits, cost: Cost, *, reserving: bool = False) -> None:
        self.limits, self._cost, self._reserving = limits, cost, reserving
        self.running: list[Sequence] = []
        self._waiting: list[tuple[int, int, Sequence]] = []
        self._arrivals = count()
        self._blocks = FreeBlocks(limits.blocks)
        self.used = 0
        """Blocks."""
        self.preemptions = 0
        self.demand = 0
        """Blocks that all begun sequences would hold, preempted ones too: the most so far."""

    def __len__(self) -> int:
        """Sequences inside."""
        return len(self.running) + len(self._waiting)

    @property
    def waiting(self) -> int:
        """Sequences in its queue."""
        return len(self._waiting)

    @property
    def usage(self) -> float:
        """Fraction of the KV blocks."""
        return self.used / self.limits.blocks if self.limits.blocks else 0.0

    def add(self, sequence: Sequence) -> None:
        """Take a sequence. Raises ValueError for one that never fits."""
        if (
            self.limits.blocks is not None
            and self._needed(sequence, sequence.prompt + sequence.output) > self.limits.blocks
        ):
            raise ValueError(f"a sequence of {sequence.prompt} + {sequence.output} tokens is larger than the KV cache")
        sequence.arrived = next(self._arrivals)
        self._wait(sequence)

    def drop(self, sequence: Sequence) -> None:
        """Forget a sequence that nobody waits for."""
        if sequence in self.running:
            self.running.remove(sequence)
            self._free(sequence, None)
        else:
            self._waiting = [entry for entry in self._waiting if entry[2] is not sequence]
            heapq.heapify(self._waiting)

    def step(self) -> Step:
        """Compute one; there must be something inside."""
        before = self.preemptions
        scheduled = self._go_on()
        if self.preemptions == before:
            scheduled.extend(self._admit(self.limits.step_tokens - sum(s.new for s in scheduled)))
        self._note_demand()
        sampled = [s for s in scheduled if s.computed + s.new == s.known]
        work = Work(
            sum(s.new for s in scheduled),
            sum(s.new == 1 and s.generated > 0 for s in scheduled),
            len(sampled),
            sum(s.computed + s.new for s in scheduled),
        )
        for sequence in scheduled:
            sequence.computed += sequence.new
        finished = tuple(self._sampled(sampled))
        if finished:
            self.running = [s for s in self.running if s.generated < s.output]
        return Step(self._cost(work), work, finished, self.preemptions - before)

    def _go_on(self) -> list[Sequence]:
        room, scheduled = self.limits.step_tokens, list[Sequence]()
        for sequence in list(self.running):
            if sequence not in self.running:  # preempted by one before it
                continue
            sequence.new = min(sequence.known - sequence.computed, room)
            while not self._allocate(sequence):
                victim = max(self.running, key=lambda s: (s.priority, s.arrived))
                self._preempt(victim)
                if victim in scheduled:
                    scheduled.remove(victim)
                    room += victim.new
                if victim is sequence:
                    return scheduled
            if sequence.new:
                scheduled.append(sequence)
                room -= sequence.new
        return scheduled

    def _admit(self, room: int) -> Iterator[Sequence]:
        while self._waiting and room > 0 and len(self.running) < self.limits.sequences:
            sequence = self._waiting[0][2]
            if not self._has_room(sequence):
                return
            heapq.heappop(self._waiting)
            self._find(sequence)
            sequence.new = min(sequence.known - sequence.computed, room)
            room -= sequence.new
            self._allocate(sequence)
            self.running.append(sequence)
            yield sequence

    def _sampled(self, sampled: list[Sequence]) -> Iterator[Sequence]:
        for sequence in sampled:
            sequence.generated += 1
            if sequence.generated == sequence.output:
                self._free(sequence, None)
                yield sequence

    def _has_room(self, sequence: Sequence) -> bool:
        """Whether all of it that is known fits (vLLM: scheduler_reserve_full_isl), or all of it ever."""
        if self.limits.blocks is None:
            return True
        tokens = sequence.prompt + sequence.output if self._reserving else sequence.known
        return self.used + self._needed(sequence, tokens) <= self.limits.blocks

    def _allocate(self, sequence: Sequence) -> bool:
        tokens = sequence.prompt + sequence.output if self._reserving else sequence.computed + sequence.new
        more = self._needed(sequence, tokens) - sequence.blocks
        if self.limits.blocks is not None and self.used + more > self.limits.blocks:
            return False
        self._blocks.take(more)
        sequence.blocks += more
        self.used += more
        return True

    def _needed(self, sequence: Sequence, tokens: int) -> int:
        return -(-max(0, tokens - sequence.cached) // self.limits.block)

    def _preempt(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        self._free(sequence, sequence)
        sequence.computed, sequence.preemptions = 0, sequence.preemptions + 1
        self.preemptions += 1
        self._wait(sequence)

    def _wait(self, sequence: Sequence) -> None:
        heapq.heappush(self._waiting, (sequence.priority, sequence.arrived, sequence))

    def _find(self, sequence: Sequence) -> None:
        """What is computed of it already: the shared part, and what it had, as far as nobody has taken it."""
        sequence.blocks = self._blocks.find(sequence) if sequence.preemptions else 0
        self.used += sequence.blocks
        sequence.computed = min(sequence.cached + sequence.blocks * self.limits.block, sequence.known - 1)

    def _free(self, sequence: Sequence, owner: Sequence | None) -> None:
        full = max(0, sequence.computed - sequence.cached) // self.limits.block
        self._blocks.give(sequence.blocks, min(full, sequence.blocks), owner)
        self.used -= sequence.blocks
        sequence.blocks = 0

    def _note_demand(self) -> None:
        back = sum(self._needed(s, s.known) for _, _, s in self._waiting if s.preemptions) if self.preemptions else 0
        self.demand = max(self.demand, self.used + back)
