"""What always holds of admission: what is in flight is bounded, and all of it comes back, whatever fails."""

from collections import deque
from contextlib import closing
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from consumer.stream.admission import Admission, NoRoom, Permit
from consumer.stream.batcher import Batch, Batcher, BatchLimits
from consumer.stream.work import Item, Rank


class AdmissionMachine(RuleBasedStateMachine):
    """Compares with a plain table of every permit's tokens."""

    permits: Bundle[Permit] = Bundle("permits")

    @initialize(max_batches=st.integers(1, 5), batch_tokens=st.integers(1, 60))
    def start(self, max_batches: int, batch_tokens: int) -> None:
        """Nothing runs."""
        self.max_batches, self.batch_tokens = max_batches, batch_tokens
        self.admission = Admission(max_batches, batch_tokens)
        self.batches: dict[Permit, tuple[int, int]] = {}  # tokens, and how many are outstanding

    @rule(target=permits, share=st.floats(0.01, 1))
    @precondition(lambda self: self.admission.room())
    def admit(self, share: float) -> Permit:
        """Whatever fits the room is admitted, and stays below the ceiling."""
        tokens = max(1, int(self.admission.room() * share))
        assert self.admission.admits(tokens)
        permit = self.admission.admit(tokens)
        self.batches[permit] = (tokens, tokens)
        assert self.admission.tokens_in_flight <= self.admission.ceiling
        assert self.admission.batches_running <= self.max_batches
        return permit

    @rule(more=st.integers(1, 100))
    @precondition(lambda self: self.admission.tokens_in_flight)
    def refuse(self, more: int) -> None:
        """What does not fit is refused, and nothing is reserved."""
        before = (self.admission.tokens_in_flight, self.admission.batches_running)
        tokens = self.admission.room() + more
        assert not self.admission.admits(tokens)
        with pytest.raises(NoRoom):
            self.admission.admit(tokens)
        assert (self.admission.tokens_in_flight, self.admission.batches_running) == before

    @rule(target=permits, more=st.integers(1, 100))
    @precondition(lambda self: not self.admission.tokens_in_flight)
    def admit_one_above_the_ceiling(self, more: int) -> Permit:
        """When nothing runs even a batch above the ceiling may: waiting would not help it."""
        tokens = self.admission.ceiling + more
        assert self.admission.admits(tokens)
        permit = self.admission.admit(tokens)
        self.batches[permit] = (tokens, tokens)
        assert not self.admission.admits(1)
        return permit

    @rule(permit=permits, share=st.floats(0, 1))
    def give_back(self, permit: Permit, share: float) -> None:
        """An item finishes, of a batch that runs or that has ended."""
        tokens, outstanding = self.batches[permit]
        part = int(outstanding * share)
        permit.give_back(part)
        self.batches[permit] = (tokens, outstanding - part)

    @rule(permit=permits, more=st.integers(1, 10))
    @precondition(lambda self: any(out for _, out in self.batches.values()))
    def give_back_too_much(self, permit: Permit, more: int) -> None:
        """More than it holds, or less than nothing, is an error of the caller's and changes nothing."""
        if self.batches[permit][1]:
            for wrong in (permit.outstanding + more, -more):
                with pytest.raises(ValueError, match="given back"):
                    permit.give_back(wrong)

    @rule(permit=consumes(permits), late=st.integers(0, 10))
    def close(self, permit: Permit, late: int) -> None:
        """The batch ends or fails: all comes back, once, though items report late and `close` is called again."""
        permit.close()
        permit.give_back(late)
        permit.close()
        self.batches[permit] = (self.batches[permit][0], 0)

    @rule(ceiling=st.integers(-10, 400))
    def move_the_ceiling(self, ceiling: int) -> None:
        """It stays within one batch and all batches, also when less than what is in flight is asked for."""
        self.admission.ceiling = ceiling
        assert self.batch_tokens <= self.admission.ceiling <= self.max_batches * self.batch_tokens
        if self.batch_tokens <= ceiling <= self.max_batches * self.batch_tokens:
            assert self.admission.ceiling == ceiling

    @invariant()
    def counts_agree(self) -> None:
        """Nothing leaks, and no permit is held by a batch that has given half of its tokens back."""
        if not hasattr(self, "admission"):
            return
        in_flight = sum(out for _, out in self.batches.values())
        running = sum(tokens - out < tokens / 2 for tokens, out in self.batches.values())
        assert self.admission.tokens_in_flight == in_flight
        assert self.admission.batches_running == running
        room = max(0, self.admission.ceiling - in_flight) if running < self.max_batches else 0
        assert self.admission.room() == room
        assert all(permit.outstanding == out for permit, (_, out) in self.batches.items())

    def teardown(self) -> None:
        """When everything has ended, everything is free."""
        if not hasattr(self, "admission"):
            return
        for permit in self.batches:
            permit.close()
        assert self.admission.tokens_in_flight == self.admission.batches_running == 0
        assert self.admission.room() == self.admission.ceiling


TestAdmissionMachine = AdmissionMachine.TestCase
TestAdmissionMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@dataclass
class Engine:
    """Runs what it is given in random order: items finish, whole batches fail or are cancelled."""

    chance: Random
    admission: Admission
    running: list[tuple[Permit, deque[Item[int]]]] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)

    def start(self, batch: Batch[int]) -> None:
        """In the same step as the take: what `room` allowed is never refused."""
        self.running.append((self.admission.admit(batch.tokens), deque(batch.items)))

    def step(self) -> list[Item[int]]:
        """One thing happens to one batch. Returns the items that failed with it."""
        permit, items = self.chance.choice(self.running)
        if self.chance.random() < 0.1:
            permit.close()
            self.running.remove((permit, items))
            return list(items)
        item = items.popleft()
        self.finished.append(item.payload)
        permit.give_back(item.own_tokens)
        if not items:
            permit.close()
            self.running.remove((permit, items))
        return []


@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 150),
    max_batches=st.integers(1, 4),
    prefix_tokens=st.integers(0, 60),
)
@settings(max_examples=60, deadline=None)
def test_everything_is_answered_once_and_nothing_leaks(
    seed: int, count: int, max_batches: int, prefix_tokens: int
) -> None:
    """Batcher and admission together, with failing batches, a moving ceiling and withdrawn items: it always goes on."""
    chance = Random(seed)
    batcher: Batcher[int] = Batcher(BatchLimits(max_tokens=100, min_items=2, max_items=8))
    admission = Admission(max_batches, 100)
    engine = Engine(chance, admission)
    items = [
        Item(n, f"r{chance.randrange(5)}", chance.choice(list(Rank)), chance.randint(1, 40), "p", prefix_tokens)
        for n in range(count)
    ]
    for item in items:
        batcher.add(item, 0.0)
    withdrawn = [item.payload for item in chance.sample(items, count // 10) if batcher.withdraw(item)]
    now, steps = 1.0, 0
    while len(batcher) or engine.running:
        admission.ceiling = chance.randint(0, 100 * max_batches)
        while batch := batcher.take(now, admission.room()):
            engine.start(batch)
        assert engine.running, "work waits, nothing runs, and yet nothing is admitted"
        assert admission.tokens_in_flight <= 100 * max_batches
        for item in engine.step():
            batcher.add(item, now)
        now, steps = now + 0.3, steps + 1
        assert steps < 60 * count
    assert sorted(engine.finished + withdrawn) == list(range(count))
    assert admission.tokens_in_flight == admission.batches_running == 0


@given(st.integers(1, 1000), st.lists(st.integers(1, 100), max_size=10))
def test_a_batch_that_raises_gives_everything_back(tokens: int, parts: list[int]) -> None:
    """Closing the permit on the way out is enough, wherever the batch was."""
    admission = Admission(2, 1000)

    def run_and_fail() -> None:
        with closing(admission.admit(tokens)) as permit:
            for part in parts:
                permit.give_back(min(part, permit.outstanding))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_and_fail()
    assert admission.tokens_in_flight == admission.batches_running == 0
