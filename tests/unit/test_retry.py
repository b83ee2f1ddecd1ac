"""Back-off by example."""

import pytest

from consumer.stream.retry import GiveUp, RetryAfter, RetryPolicy


def test_the_default_pauses_double_from_a_tenth_of_a_second() -> None:
    """Without chance's share: 0.1, 0.2, 0.4, 0.8 seconds, and the fifth failure is the last."""
    policy = RetryPolicy()
    assert [policy.delay(attempt, 0) for attempt in range(1, 5)] == [0.1, 0.2, 0.4, 0.8]
    assert policy.decide(4, 0) == RetryAfter(0.8)
    assert policy.decide(5, 0) == GiveUp(5)


def test_chance_takes_up_to_the_jitter_away() -> None:
    """Half of the pause with the default jitter of 0.5."""
    assert RetryPolicy(base=8).delay(1, 0.5) == 6
    assert RetryPolicy(base=8, jitter=0).delay(1, 0.999) == 8


def test_the_cap_bounds_the_pause() -> None:
    """From the attempt that would exceed it on, and for any number of attempts."""
    policy = RetryPolicy(base=1, cap=5, max_attempts=100_000)
    assert [policy.delay(attempt, 0) for attempt in (3, 4, 99_999)] == [4, 5, 5]


def test_attempts_are_counted_from_one() -> None:
    """An attempt 0 never happened."""
    with pytest.raises(ValueError, match="counted from 1"):
        RetryPolicy().delay(0, 0.5)


@pytest.mark.parametrize(
    "numbers",
    [{"max_attempts": 0}, {"base": 0}, {"base": 31}, {"factor": 0.9}, {"jitter": -0.1}, {"jitter": 1.1}],
)
def test_numbers_that_contradict_are_refused(numbers: dict[str, int]) -> None:
    """Each bound of each number is checked."""
    with pytest.raises(ValueError, match="need max_attempts"):
        RetryPolicy(**numbers)
