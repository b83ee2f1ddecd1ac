"""An engine that refuses for now: a pause, one batch as a probe, and all again once it answers."""

from consumer.stream.outage import Outage
from consumer.stream.retry import RetryPolicy

POLICY = RetryPolicy(base=1, factor=2, cap=60, jitter=0)


def test_nothing_is_wrong_at_first() -> None:
    """Everything is admitted, and an answer ends nothing."""
    outage = Outage(POLICY)
    assert outage.admits(0, 100)
    assert not outage.answered(0)


def test_pauses_grow_with_each_refusal_but_not_with_those_of_one_moment() -> None:
    """What was sent together is refused together."""
    outage, now, pauses = Outage(POLICY), 0.0, []
    for _ in range(8):
        for _ in range(20):
            outage.refused(now, "no", None, 0)
        pauses.append(outage.until - now)
        now = outage.until
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


def test_after_the_pause_one_batch_is_sent_until_it_answers() -> None:
    """A server that comes back is not met by all that waits."""
    outage = Outage(POLICY)
    outage.refused(10, "no", None, 0)
    assert outage.reason == "no"
    assert not outage.admits(10.9, 0)
    assert outage.admits(11, 0)
    assert not outage.admits(11, 1)
    assert not outage.answered(10.5)  # to what was sent before
    assert outage.answered(11)
    assert outage.reason == ""
    assert outage.admits(11, 100)
    outage.refused(12, "no", None, 0)
    assert outage.until == 13


def test_what_the_engine_asks_for_is_kept() -> None:
    """Retry-After, the longest of those that are given together; never a pause that ends before it began."""
    outage = Outage(POLICY)
    outage.refused(10, "slow down", 30, 0)
    outage.refused(10, "slow down", 5, 0)
    assert outage.until == 40
    outage = Outage(POLICY)
    outage.refused(10, "slow down", -3, 0)
    assert outage.until == 10
