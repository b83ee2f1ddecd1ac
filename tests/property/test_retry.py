"""What always holds of back-off and of the queue of those who wait."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from consumer.stream.retry import DelayQueue, GiveUp, RetryAfter, RetryPolicy

CHANCE = st.floats(0, 1, exclude_max=True)
POLICIES = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 20),
    base=st.floats(0.001, 1),
    factor=st.floats(1, 10),
    cap=st.floats(1, 100),
    jitter=st.floats(0, 1),
)


@given(POLICIES, st.integers(1, 10**9), CHANCE)
def test_a_pause_keeps_its_bounds(policy: RetryPolicy, attempt: int, random: float) -> None:
    """Never above the cap, never shortened by more than the jitter's share; no attempt is too many for the sum."""
    delay = policy.delay(attempt, random)
    assert delay <= policy.cap
    assert policy.delay(attempt, 0) * (1 - policy.jitter) <= delay <= policy.delay(attempt, 0)
    assert policy.delay(1, 0) == policy.base


@given(POLICIES, st.integers(1, 50), CHANCE)
def test_pauses_grow_by_the_factor_up_to_the_cap(policy: RetryPolicy, attempt: int, random: float) -> None:
    """With the same chance the next pause is longer by the factor, or as long as the cap lets it be."""
    longer = min(policy.cap * (1 - policy.jitter * random), policy.delay(attempt, random) * policy.factor)
    assert policy.delay(attempt + 1, random) == pytest.approx(longer)


@given(POLICIES, CHANCE)
def test_there_are_exactly_so_many_attempts(policy: RetryPolicy, random: float) -> None:
    """Every attempt but the last is followed by another; then it ends."""
    attempt = 1
    while isinstance(decision := policy.decide(attempt, random), RetryAfter):
        assert decision.seconds == policy.delay(attempt, random)
        attempt += 1
    assert decision == GiveUp(policy.max_attempts)
    assert attempt == policy.max_attempts


@given(POLICIES, CHANCE, CHANCE)
def test_chance_spreads_the_pauses(policy: RetryPolicy, one: float, other: float) -> None:
    """Items that failed together do not come back together."""
    assume(policy.jitter > 0.01)
    assume(abs(one - other) > 0.01)
    assert (policy.delay(1, one) < policy.delay(1, other)) == (one > other)


class DelayQueueMachine(RuleBasedStateMachine):
    """Compares with a sorted list. The items cannot be compared with each other."""

    @initialize()
    def start(self) -> None:
        """Nothing waits."""
        self.queue: DelayQueue[complex] = DelayQueue()
        self.waiting: list[tuple[float, complex]] = []
        self.pushed = 0

    @rule(due=st.integers(0, 20))
    def push(self, due: float) -> None:
        """One more waits."""
        item = complex(self.pushed)
        self.pushed += 1
        self.queue.push(item, due)
        self.waiting.append((due, item))
        self.waiting.sort(key=lambda entry: entry[0])  # stable: first in, first out

    @rule(now=st.integers(-1, 21))
    def pop_due(self, now: float) -> None:
        """All that is due and nothing else, in order."""
        assert self.queue.pop_due(now) == [item for due, item in self.waiting if due <= now]
        self.waiting = [(due, item) for due, item in self.waiting if due > now]

    @rule(divisor=st.integers(2, 5))
    def discard(self, divisor: int) -> None:
        """Some are no longer wanted; the order of the others stays."""
        found = self.queue.discard(lambda item: item.real % divisor == 0)
        assert found == [item for _, item in self.waiting if item.real % divisor == 0]
        self.waiting = [(due, item) for due, item in self.waiting if item.real % divisor]

    @invariant()
    def counts_agree(self) -> None:
        """None lost, none twice, and the earliest is known."""
        if hasattr(self, "queue"):
            assert len(self.queue) == len(self.waiting)
            assert self.queue.next_due() == (self.waiting[0][0] if self.waiting else None)


TestDelayQueueMachine = DelayQueueMachine.TestCase
TestDelayQueueMachine.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
