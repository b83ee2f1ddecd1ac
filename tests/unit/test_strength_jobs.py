"""Strength jobs: made anew only where something differs, restarts too; the newest wins; who leaves is forgotten."""

from collections import Counter
from typing import Any, cast

import pytest

from consumer.analysis.task import Kind
from consumer.engines.contract import Answer, Prepared
from consumer.errors import DeadLetter
from consumer.hooks.events import Event, What
from consumer.pipeline.ask import Ask
from consumer.pipeline.groups import Groups, StrengthRules
from consumer.store.memory import MemoryStore
from consumer.stream.members import Debounce
from consumer.stream.place import Place
from consumer.stream.record import Output, Partition, Record
from consumer.stream.retry import RetryPolicy
from schemas.codec import decode, encode, encode_document, group_key
from schemas.findings import Aspect
from schemas.results import Provenance, RestaurantStrengths, RestaurantSummary
from tests.unit.lane_world import NAMES, FakeWorker, shared
from tests.unit.records import FakeRecord

RULES = StrengthRules(Debounce(refresh_members=2, max_age=60), RetryPolicy(max_attempts=2, base=10, cap=100, jitter=0))


class GroupsLane:
    """A by-group lane without Kafka and without an engine; its topic is a list that a new owner reads again."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.now = 1000.0
        self.asks: list[Ask] = []
        self.told: list[Event] = []
        self.published: list[Output] = []
        self._topic: list[Record] = []
        self._committed = 0
        self.open()

    def open(self) -> None:
        """A new owner: the table is read up to the committed offset, what lies behind it comes as new."""
        self.asks.clear()
        self.worker = cast("Any", FakeWorker(Partition(NAMES.by_group, 0)))
        self.workload = Groups(self.worker, shared(self), self.store, RULES)
        for record in self._topic[: self._committed]:
            self.workload.restore(record)
        for record in self._topic[self._committed :]:
            self.workload.receive(record)

    def put(self, restaurant: str, version: int, *, group: str | None = "g", food: int = 3) -> None:
        """A summary arrives: `food` of ten reviews praise the food."""
        praise = (Aspect(aspect="food", claim="음식이 맛있다.", support_count=food),) if food else ()
        summary = RestaurantSummary(
            restaurant_id=restaurant,
            overall_summary="요약",
            positive_aspects=praise,
            negative_aspects=(),
            positive_count=10,
            negative_count=0,
            review_count=10,
            version=version,
            comparison_group=group,
            language="ko",
            provenance=Provenance(engine="e", model="m", prompt="p"),
        )
        self._send(group_key(group, restaurant), encode(summary))

    def leave(self, restaurant: str, group: str | None = "g") -> None:
        """Its tombstone arrives."""
        self._send(group_key(group, restaurant), None)

    def _send(self, key: bytes, value: bytes | None) -> None:
        record: Record = FakeRecord(offset=len(self._topic), key=key, value=value)
        self._topic.append(record)
        self.workload.receive(record)

    def start(self) -> float | None:
        """Start what is due."""
        return self.workload.start_jobs(self.now)

    def answer(self, ask: Ask, text: str = "음식이 강점입니다.", *, cached: bool = False) -> None:
        """As an engine would."""
        self.asks.remove(ask)
        said = {
            Kind.COMPARISON: {"comparison_summary": "다른 곳"},
            Kind.STRENGTH: {"strengths": [{"claim": 1, "text": "음식"}], "strength_summary": text},
        }[ask.task.kind]
        prepared = Prepared(ask.task, 1, "", 0, truncated=False)
        ask.answered(Answer(text=encode_document(said).decode(), cached=cached), prepared)

    def commit(self) -> list[tuple[bytes | None, str]]:
        """All that is done; gives (key, ce_id) of what was published, "" for a tombstone."""
        done = [self.worker.done[offset] for offset in sorted(self.worker.done)]
        self.worker.done.clear()
        staged = self.workload.stage(done, {})
        self._committed = len(self._topic)
        self.store.apply(staged.changes, Place())
        staged.settle()
        self.told.extend(staged.events)
        self.published.extend(staged.outputs)
        return [(output.key, dict(output.headers).get("ce_id", b"").decode()) for output in staged.outputs]

    def work(self, text: str = "음식이 강점입니다.") -> list[tuple[bytes | None, str]]:
        """Start, answer and commit until nothing is due now."""
        out: list[tuple[bytes | None, str]] = self.commit()
        while True:
            self.start()
            if not self.asks and not self.workload.has_output():
                return out
            while self.asks:
                self.answer(self.asks[0], text)
            out.extend(self.commit())


@pytest.fixture
def lane() -> GroupsLane:
    """Empty."""
    return GroupsLane()


def _id(restaurant: str, version: str, group: str = "g") -> tuple[bytes, str]:
    key = group_key(group, restaurant)
    return key, f"{NAMES.strength}/{key.decode()}/{version}"


def test_each_member_gets_strengths_under_its_summarys_version(lane: GroupsLane) -> None:
    """And only once, as long as nothing changes."""
    lane.put("a", 4)
    lane.put("b", 7)
    assert sorted(lane.work()) == [_id("a", "4"), _id("b", "7")]
    assert lane.work() == []
    lane.now += 1e6
    assert lane.work() == []


def test_after_a_restart_only_those_whose_basis_differs_are_made_anew(lane: GroupsLane) -> None:
    """The state says what the last ones came from."""
    for restaurant in "abc":
        lane.put(restaurant, 1)
    lane.put("alone", 1, group=None)
    assert len(lane.work()) == 4
    lane.open()
    assert lane.start() is None
    assert lane.asks == []
    lane.put("alone", 2, group=None)
    lane.open()  # it crashed before the commit: the record comes again
    assert lane.work() == [_id("alone", "2", "")]


def test_a_refresh_because_of_others_has_an_id_of_its_own(lane: GroupsLane) -> None:
    """The version is the summary's it came from, and stays; what is said is new, so the id is too."""
    lane.put("a", 1)
    lane.put("b", 1)
    lane.work()
    lane.put("b", 2, food=9)
    assert lane.work() == [_id("b", "2")]
    assert lane.start() == 1060.0
    lane.now = 1060.0
    assert lane.work(text="다르게 말합니다.") == [_id("a", "1.1")]
    lane.put("b", 3, food=1)
    lane.put("b", 4, food=2)
    assert sorted(lane.work(text="또 다르게 말합니다.")) == [_id("a", "1.2"), _id("b", "4")]
    ids = [dict(output.headers)["ce_id"] for output in lane.published]
    assert len(ids) == len(set(ids))


def test_a_refresh_that_says_the_same_is_not_published(lane: GroupsLane) -> None:
    """And not asked again either."""
    lane.put("a", 1, food=0)
    lane.put("b", 1)
    lane.work()
    lane.put("b", 2)
    lane.put("b", 3)
    assert lane.work() == [_id("b", "3")]
    lane.now += 1000
    assert lane.work() == []


@pytest.mark.parametrize("cached", [(True, True), (True, False), (False, True)])
def test_strengths_are_marked_as_cached_where_no_engine_was_asked_for_any_of_them(
    lane: GroupsLane, cached: tuple[bool, bool]
) -> None:
    """Both stages; and the mark alone is nothing new to publish."""
    lane.put("a", 1)
    lane.put("b", 1)
    lane.start()
    for its in cached:
        lane.answer(next(ask for ask in lane.asks if ask.restaurant == "a"), cached=its)
    lane.work()
    assert [_cached(output) for output in lane.published if output.key == group_key("g", "a")] == [all(cached)]
    lane.put("b", 2)
    lane.put("b", 3)
    lane.now += 1000
    lane.start()
    while lane.asks:
        lane.answer(lane.asks[0], cached=not all(cached))
        lane.start()
    assert all(key != group_key("g", "a") for key, _ in lane.commit())


def _cached(output: Output) -> bool:
    made = decode(RestaurantStrengths, output.value).provenance
    return made is not None and made.cached


def test_the_newest_wins(lane: GroupsLane) -> None:
    """What came from an older summary is not published when a newer one is there."""
    lane.put("a", 1, group=None)
    lane.start()
    lane.put("a", 2, group=None)
    lane.answer(lane.asks[0])
    assert lane.commit() == []
    assert lane.work() == [_id("a", "2", "")]


def test_a_member_that_changes_while_its_job_runs_is_not_asked_twice_at_once(lane: GroupsLane) -> None:
    """Its end finds out what is owed."""
    lane.put("a", 1)
    lane.start()
    lane.put("b", 1)
    lane.put("a", 2)
    lane.start()
    assert Counter(ask.restaurant for ask in lane.asks) == {"a": 1, "b": 1}


def test_one_that_leaves_gets_a_tombstone_and_nothing_after_it(lane: GroupsLane) -> None:
    """Also while its strengths are made, and where it never had any."""
    lane.put("a", 1)
    lane.put("b", 1)
    lane.start()
    lane.leave("a")
    while lane.asks:
        lane.answer(lane.asks[0])
    lane.work()
    keys = [(output.key, output.value is None) for output in lane.published if output.key == group_key("g", "a")]
    assert keys == [(group_key("g", "a"), True)]
    assert lane.store.strength("g", "a") is None
    lane.open()
    assert lane.work() == []


def test_one_that_comes_back_at_once_keeps_its_strengths_until_the_new_ones(lane: GroupsLane) -> None:
    """A tombstone behind the new ones would remove them."""
    lane.put("a", 1, group=None)
    lane.work()
    lane.leave("a", None)
    lane.put("a", 2, group=None)
    assert lane.work() == [_id("a", "2", "")]
    last = decode(RestaurantStrengths, lane.published[-1].value)
    assert last.version == 2


def test_those_who_stay_are_compared_with_those_who_stay(lane: GroupsLane) -> None:
    """One that leaves is a change for the others."""
    for restaurant in "abc":
        lane.put(restaurant, 1)
    lane.work()
    lane.leave("c")
    lane.commit()
    lane.now += 60
    lane.work(text="이제는 둘입니다.")
    newest = {output.key: output.value for output in lane.published if output.value}
    assert decode(RestaurantStrengths, newest[group_key("g", "a")]).compared_with == 1


def test_one_that_fails_is_parked_until_its_next_summary(lane: GroupsLane) -> None:
    """After a growing pause, with a line, a metric and the reason in its state; a restart changes nothing of it."""
    lane.put("a", 1, group=None)
    for pause in (10.0, None):
        lane.start()
        ask = lane.asks.pop()
        ask.failed(DeadLetter("engine_error", "out of order"), 5)
        assert lane.commit() == []
        assert lane.start() == (lane.now + pause if pause else None)
        lane.now += 10
    state = lane.store.strength("", "a")
    assert state
    assert (state.failures, state.tried, state.parked) == (2, 1, "engine_error: out of order")
    lane.open()
    assert lane.start() is None
    assert [event.count for event in lane.told if event.what is What.PARKED] == [1, 1]
    assert sum(event.what is What.JOB_PARKED for event in lane.told) == 1
    lane.put("a", 2, group=None)
    assert lane.work() == [_id("a", "2", "")]
    assert [event.count for event in lane.told if event.what is What.PARKED][-1] == 0


def test_the_comparison_is_kept_while_the_others_stay_the_same(lane: GroupsLane) -> None:
    """Stage 1 is asked again only when they have changed."""
    lane.put("a", 1)
    lane.put("b", 1)
    lane.work()
    lane.put("a", 2)
    lane.start()
    assert [ask.task.kind for ask in lane.asks] == [Kind.STRENGTH]
