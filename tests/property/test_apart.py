"""What failed together: halves until the culprits are alone; nobody is lost, and nobody waits for ever."""

from hypothesis import given
from hypothesis import strategies as st

from consumer.stream.apart import Apart
from consumer.stream.work import Item, Rank


def items(count: int) -> list[Item[int]]:
    """Each of ten tokens, after a shared prefix of five."""
    return [Item(n, "r", Rank.NORMAL, 10, "p", 5) for n in range(count)]


@given(st.integers(1, 130), st.data())
def test_culprits_end_alone_and_everybody_else_is_answered_once(count: int, data: st.DataObject) -> None:
    """A group that holds a culprit fails as a whole; within 2 x ceil(log2 N) batches a culprit they are found."""
    culprits = data.draw(st.sets(st.integers(0, count - 1), max_size=4))
    apart: Apart[int] = Apart()
    answered: list[int] = []
    alone: list[int] = []
    batches, now = 0, 0.0
    failing = [items(count)] if culprits else []
    answered.extend(range(count) if not culprits else [])
    while failing:
        for group in failing:
            if len(group) == 1:
                alone.append(group[0].payload)
            else:
                apart.failed(group, now + 1)
        failing = []
        assert apart.take(now, 10**9) is None
        now += 1
        while batch := apart.take(now, 10**9):
            batches += 1
            assert batch.tokens == 5 + 10 * len(batch.items)
            if culprits & {item.payload for item in batch.items}:
                failing.append(list(batch.items))
            else:
                answered.extend(item.payload for item in batch.items)
    assert sorted(alone) == sorted(culprits)
    assert sorted(answered) == sorted(set(range(count)) - culprits)
    assert batches <= max(1, len(culprits)) * 2 * max(1, (count - 1).bit_length())
    assert len(apart) == 0
    assert apart.next_due() is None


@given(st.integers(0, 60))
def test_a_group_waits_for_room_and_is_not_overtaken(room: int) -> None:
    """The first in line keeps its turn, however small the next ones are."""
    apart: Apart[int] = Apart()
    apart.failed(items(5), 1)
    apart.failed(items(1), 1)
    assert not apart.is_due(0.5)
    assert apart.is_due(1)
    batch = apart.take(1, room)
    assert (batch is not None) == (room >= 35)
    assert apart.is_due(1)
    assert len(apart) == 3 - (batch is not None)


@given(st.integers(1, 20), st.sets(st.integers(0, 19)))
def test_who_is_no_longer_wanted_leaves_and_the_others_stay(count: int, unwanted: set[int]) -> None:
    """Ready or not."""
    apart: Apart[int] = Apart()
    apart.failed(items(count), 1)
    apart.take(1, 0)
    apart.failed(items(count), 2)
    gone = apart.discard(lambda item: item.payload in unwanted)
    assert sorted(item.payload for item in gone) == sorted([n for n in range(count) if n in unwanted] * 2)
    left: list[int] = []
    while batch := apart.take(2, 10**9):
        left.extend(item.payload for item in batch.items)
    assert sorted(left) == sorted([n for n in range(count) if n not in unwanted] * 2)
