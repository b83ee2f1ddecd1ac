"""Admission by example: permits, halves and the ceiling."""

import pytest

from consumer.stream.admission import Admission, NoRoom


def test_room_is_tokens_while_a_permit_is_free() -> None:
    """The ceiling starts at all batches full; without a permit there is no room whatever the tokens."""
    admission = Admission(max_batches=2, batch_tokens=100)
    assert admission.ceiling == admission.room() == 200
    admission.admit(30)
    assert admission.room() == 170
    admission.admit(10)
    assert admission.room() == 0
    assert not admission.admits(1)
    with pytest.raises(NoRoom, match="1 tokens where 0 are free"):
        admission.admit(1)


@pytest.mark.parametrize(("tokens", "before", "half"), [(100, 49, 1), (101, 50, 1), (1, 0, 1), (3, 1, 1)])
def test_the_permit_comes_back_with_half_of_the_tokens(tokens: int, before: int, half: int) -> None:
    """Not a token earlier; the rest stays in flight."""
    admission = Admission(max_batches=1, batch_tokens=200)
    permit = admission.admit(tokens)
    permit.give_back(before)
    assert admission.batches_running == 1
    assert admission.room() == 0
    permit.give_back(half)
    assert admission.batches_running == 0
    assert admission.tokens_in_flight == tokens - before - half
    assert admission.room() == 200 - admission.tokens_in_flight


def test_one_slow_item_does_not_hold_the_place() -> None:
    """A batch with a straggler leaves room for the next: a batch is no barrier."""
    admission = Admission(max_batches=1, batch_tokens=100)
    straggling = admission.admit(60)
    straggling.give_back(50)
    fresh = admission.admit(90)
    assert admission.tokens_in_flight == 100
    assert admission.batches_running == 1
    straggling.close()
    fresh.close()
    assert admission.room() == 100


def test_a_lowered_ceiling_takes_nothing_back() -> None:
    """What is in flight stays; there is no room until it is below the new ceiling."""
    admission = Admission(max_batches=3, batch_tokens=100)
    permit = admission.admit(250)
    admission.ceiling = 150
    assert admission.room() == 0
    permit.give_back(110)
    assert admission.room() == 10


@pytest.mark.parametrize(("asked", "got"), [(-5, 100), (99, 100), (100, 100), (250, 250), (300, 300), (301, 300)])
def test_the_ceiling_keeps_its_bounds(asked: int, got: int) -> None:
    """One full batch at least, all batches full at most."""
    admission = Admission(max_batches=3, batch_tokens=100)
    admission.ceiling = asked
    assert admission.ceiling == got


def test_numbers_below_one_are_refused() -> None:
    """No permits, no tokens or an empty batch make no sense."""
    for max_batches, batch_tokens in [(0, 100), (1, 0)]:
        with pytest.raises(ValueError, match="admission needs"):
            Admission(max_batches, batch_tokens)
    with pytest.raises(ValueError, match="a batch of 0 tokens"):
        Admission(1, 100).admit(0)
