"""The breaker against a plain reference: the last outcomes in a list, every decision counted anew."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from consumer.stream.breaker import Breaker, BreakerRules
from consumer.stream.retry import RetryPolicy

WINDOW, LEAST, SHARE = 12, 4, 0.5
PAUSE = RetryPolicy(base=1.0, cap=8.0, jitter=0.5)
CHANCE = st.floats(0, 1, exclude_max=True)


class BreakerMachine(RuleBasedStateMachine):
    """Records succeed and fail, time passes, probes are made when they are allowed."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(BreakerRules(SHARE, WINDOW, LEAST, PAUSE))
        self.now = 0.0
        self.outcomes: list[bool] = []
        """Of the time since it closed last; True: failed."""
        self.open = False

    @precondition(lambda self: not self.open)
    @rule(count=st.integers(1, WINDOW + 2))
    def succeed(self, count: int) -> None:
        """Results are committed: while closed that is no news."""
        assert not self.breaker.succeeded(self.now, count)
        self.outcomes.extend([False] * count)

    @precondition(lambda self: not self.open)
    @rule(random=CHANCE)
    def fail(self, random: float) -> None:
        """Opens exactly when more than the share of the last, and enough of them, failed."""
        self.outcomes.append(True)
        last = self.outcomes[-WINDOW:]
        wanted = len(last) >= LEAST and sum(last) > SHARE * len(last)
        assert self.breaker.failed(self.now, "why", random) == wanted
        if wanted:
            self.open, self.outcomes = True, []
            assert f"{sum(last)} of the last {len(last)} records failed, the last: why" == self.breaker.reason
            assert PAUSE.base / 2 - 1e-6 <= self.breaker.until - self.now <= PAUSE.cap + 1e-6

    @precondition(lambda self: self.open)
    @rule(failed=st.booleans(), random=CHANCE)
    def end_late(self, failed: bool, random: float) -> None:  # noqa: FBT001 - hypothesis calls it
        """What was on its way when it opened says nothing new."""
        if self.now >= self.breaker.until:
            return
        until = self.breaker.until
        assert self.breaker.pauses(self.now)
        assert not self.breaker.failed(self.now, "x", random) if failed else not self.breaker.succeeded(self.now)
        assert self.breaker.until == until
        assert self.breaker.reason

    @precondition(lambda self: self.open)
    @rule(failed=st.booleans(), random=CHANCE)
    def probe(self, failed: bool, random: float) -> None:  # noqa: FBT001 - hypothesis calls it
        """Wait for the pause's end: one record alone is admitted, and it decides."""
        self.now = max(self.now, self.breaker.until)
        assert self.breaker.admits(self.now, 0)
        assert not self.breaker.admits(self.now, 1)
        if failed:
            assert not self.breaker.failed(self.now, "again", random)
            assert self.breaker.reason == "again"
            assert self.now < self.breaker.until <= self.now + PAUSE.cap + 1e-6
        else:
            assert self.breaker.succeeded(self.now)
            self.open = False

    @rule(seconds=st.floats(0, 3))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds

    @invariant()
    def is_open_exactly_when_it_says_why(self) -> None:
        """Closed it admits everything; before the pause's end nothing."""
        assert bool(self.breaker.reason) == self.open
        if not self.open:
            assert self.breaker.admits(self.now, 1000)
        elif self.now < self.breaker.until:
            assert not self.breaker.admits(self.now, 0)


TestBreaker = BreakerMachine.TestCase


def test_pauses_grow_until_all_was_well_for_a_whole_window() -> None:
    """A short success between two openings does not begin anew."""
    policy = RetryPolicy(base=1.0, cap=60.0, jitter=0)
    breaker, now, pauses = Breaker(BreakerRules(0.5, 4, 2, policy)), 0.0, []
    for _ in range(3):
        breaker.failed(now, "x", 0)
        assert breaker.failed(now, "x", 0)
        pauses.append(breaker.until - now)
        now = breaker.until
        assert breaker.succeeded(now)
        breaker.succeeded(now)
    assert pauses == [1, 2, 4]
    breaker.succeeded(now, 4)
    for _ in range(3):
        breaker.failed(now, "x", 0)
    assert breaker.until - now == 1


@given(st.lists(st.booleans(), max_size=300))
def test_a_share_of_one_never_opens(outcomes: list[bool]) -> None:
    """The way to switch it off."""
    breaker = Breaker(BreakerRules(share=1, window=10, least=1))
    for failed in outcomes:
        assert not (breaker.failed(0, "x", 0) if failed else breaker.succeeded(0))
    assert not breaker.reason


@pytest.mark.parametrize(("share", "window", "least"), [(0, 10, 5), (1.1, 10, 5), (0.5, 4, 5), (0.5, 5, 0)])
def test_rules_that_contradict_are_refused(share: float, window: int, least: int) -> None:
    """With all of them in the message."""
    with pytest.raises(ValueError, match="need 0 < share"):
        BreakerRules(share, window, least)
