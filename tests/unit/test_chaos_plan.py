"""What happens in a run of chaos, and what is sent, are the seed's alone."""

import math
from collections import Counter

import pytest

from schemas.codec import Undecodable, decode_review, restaurant_key
from schemas.topics import murmur2_partition
from tests.chaos.plan import LONG, SHORT, Kind, plan
from tests.chaos.traffic import FATE, Fate, Traffic, label_of


def test_a_seed_gives_one_plan_and_another_seed_another() -> None:
    """A run that found something can be had again."""
    assert plan(7, 300) == plan(7, 300)
    assert plan(7, 300) != plan(8, 300)


@pytest.mark.parametrize("seed", range(20))
def test_ten_minutes_hold_thirty_kills_and_some_of_everything(seed: int) -> None:
    """Members and brokers together; whatever the seed."""
    counts = Counter(happening.kind for happening in plan(seed, 600))
    assert counts[Kind.KILL] + counts[Kind.BROKER] >= 30
    assert set(counts) == set(Kind)


@pytest.mark.parametrize("seed", range(20))
def test_the_group_stays_between_its_fewest_and_its_most(seed: int) -> None:
    """Adding and removing go by count; kills and restarts leave it as it is."""
    fewest, count, most = LONG.members
    for happening in plan(seed, 3000):
        count += (happening.kind is Kind.ADD) - (happening.kind is Kind.REMOVE)
        assert fewest <= count <= most


def test_happenings_come_in_time_order_and_freezes_outlast_a_session() -> None:
    """6 s of session time-out; a freeze below it would be no loss of membership."""
    happenings = plan(1, 600)
    times = [happening.at for happening in happenings]
    assert times == sorted(times)
    assert times[-1] < 600
    assert all(happening.lasts > 6 for happening in happenings if happening.kind is Kind.FREEZE)


@pytest.mark.parametrize("seed", range(20))
def test_the_short_pace_holds_one_of_each_of_its_kinds(seed: int) -> None:
    """In 12 s."""
    assert {happening.kind for happening in plan(seed, 12, SHORT)} == set(SHORT.deck)


def test_traffic_is_the_seeds_and_its_fates_are_what_the_consumer_will_find() -> None:
    """Poison cannot be decoded or has another key; everything else can, with the key of its restaurant."""
    traffic, again = Traffic(5), Traffic(5)
    fates: Counter[str] = Counter()
    for _ in range(5000):
        message = traffic.next()
        assert message == again.next()
        fate = dict(message.headers)[FATE].decode()
        fates[fate] += 1
        try:
            decoded = decode_review(message.value)
        except Undecodable:
            assert fate == Fate.LETTER
            continue
        assert not decoded.dropped
        fits = restaurant_key(decoded.event.restaurant_id) == message.key
        assert fits == (fate == Fate.RESULT)
        if fits and decoded.event.content is not None:
            assert label_of(decoded.event.content)
    assert fates[Fate.LETTER] > 50


def test_an_edit_is_of_an_earlier_review_of_the_same_restaurant_with_a_higher_version() -> None:
    """So the last event of each review stands."""
    traffic = Traffic(5)
    homes: dict[object, bytes] = {}
    versions: dict[object, int] = {}
    edits = deletions = 0
    for _ in range(5000):
        message = traffic.next()
        if dict(message.headers)[FATE].decode() == Fate.LETTER:
            continue
        event = decode_review(message.value).event
        edits += event.review_id in homes
        deletions += event.content is None
        assert homes.setdefault(event.review_id, message.key) == message.key
        assert event.version is not None
        assert versions.get(event.review_id, -1) < event.version
        versions[event.review_id] = event.version
    assert edits > 100
    assert deletions > 10


def test_restaurants_are_spread_over_the_partitions() -> None:
    """No partition is left without work."""
    traffic = Traffic(1)
    spread = Counter(murmur2_partition(traffic.next().key, 6) for _ in range(3000))
    assert len(spread) == 6
    assert min(spread.values()) > math.prod((3000, 1 / 6, 1 / 3))
