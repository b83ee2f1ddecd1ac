"""A requests lane without Kafka and without an engine: the test gives each answer, and commits when it likes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.analysis.task import Kind, Task
from consumer.engines.contract import Answer, Prepared
from consumer.engines.local.engine import LocalEngine
from consumer.errors import DeadLetter, Expired, RetryLater
from consumer.hooks.events import Event, Hooks
from consumer.pipeline.ask import Ask
from consumer.pipeline.assembly import make_dispatcher
from consumer.pipeline.quarantine import Quarantine
from consumer.pipeline.requests.lane import Requests
from consumer.pipeline.requests.questions import RequestRules
from consumer.settings import load
from consumer.state_dir import StateDirectory
from consumer.stream.record import Output, Partition
from consumer.stream.work import Rank
from schemas.base import Sentiment
from schemas.batch import SentimentBatchResult, StrengthBatchResult, SummaryBatchResult
from schemas.codec import decode, encode_document
from schemas.headers import TRACEPARENT
from schemas.results import AnalysisReply
from tests.integration.scripted import USUAL
from tests.unit.lane_world import NAMES, FakeWorker, shared
from tests.unit.records import FakeRecord

SAID = cast("Any", USUAL)
RESTAURANTS = 60
RULES = RequestRules(language=None, prompt_tokens=1000, prompt_share=4)
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class RequestsLane:
    """The workload on a worker that notes what is done."""

    asks: list[Ask] = field(default_factory=list)
    told: list[Event] = field(default_factory=list)
    now: float = 1000.0
    published: list[Output] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Open."""
        self.worker = cast("Any", FakeWorker(Partition(NAMES.requests, 0)))
        self.workload = Requests(self.worker, shared(self), RULES)
        self._offset = 0

    def send(self, kind: str, item: object, *, index: int = 0, count: int = 1, **more: object) -> None:
        """One request's record."""
        request = {"request_id": "r", "index": index, "count": count, "kind": kind, "restaurant": item, **more}
        self.send_bytes(encode_document(request))

    def send_bytes(self, value: bytes | None, *more_headers: tuple[str, bytes]) -> None:
        """Any record."""
        headers = ((TRACEPARENT, TRACE), *more_headers)
        record = FakeRecord(topic=NAMES.requests, offset=self._offset, key=b"k", value=value, headers=headers)
        self._offset += 1
        self.workload.receive(record)

    def answer(self, ask: Ask, answer: Answer | None = None) -> None:
        """As the engine would; by default positive, or the usual answer to the kind."""
        self.asks.remove(ask)
        usual = USUAL.get(ask.task.kind)
        said = answer or Answer(label=None if usual else Sentiment.POSITIVE, text=_text(usual) if usual else None)
        if not ask.owner.closed:
            ask.answered(said, Prepared(ask.task, 1, "", 0, truncated=False))

    def answer_all(self) -> None:
        """Until nothing is asked."""
        while self.asks:
            self.answer(self.asks[0])

    def commit(self, refused: dict[object, str] | None = None) -> list[AnalysisReply]:
        """Publish what is ready; gives the replies."""
        staged = self.workload.stage((), refused or {})
        staged.settle()
        self.told.extend(staged.events)
        self.published.extend(staged.outputs)
        return [decode(AnalysisReply, out.value) for out in staged.outputs if out.topic == NAMES.replies]


def _text(document: object) -> str:
    return encode_document(document).decode()


def reviews(*texts: str) -> list[dict[str, object]]:
    """As a request has them, numbered from 1."""
    return [{"content": text, "id": number} for number, text in enumerate(texts, 1)]


def sentiment(*texts: str, restaurant: int | str = 1) -> dict[str, object]:
    """A sentiment request's item."""
    return {"restaurant_id": restaurant, "reviews": reviews(*texts)}


def summary(positive: list[str], negative: list[str]) -> dict[str, object]:
    """A summary request's item."""
    return {"restaurant_id": 1, "positive_reviews": reviews(*positive), "negative_reviews": reviews(*negative)}


def strength(target: list[str], comparison: list[str]) -> dict[str, object]:
    """A strength request's item."""
    items = {"target_reviews": reviews(*target), "comparison_reviews": reviews(*comparison)}
    return {"target_restaurant_id": "t", **items}


def test_labels_are_counted_and_keep_their_places() -> None:
    """However the answers come; ids as they were given."""
    lane = RequestsLane()
    lane.send("sentiment", sentiment("a", "b", "c", restaurant="7"))
    first, second, third = lane.asks
    lane.answer(third, Answer(label_logprobs={Sentiment.NEGATIVE: -0.1, Sentiment.POSITIVE: -3.0}))
    lane.answer(first)
    assert not lane.workload.has_output()
    assert lane.worker.done == {}
    lane.answer(second, Answer(label=Sentiment.NEUTRAL))
    assert list(lane.worker.done) == [0]
    assert lane.worker.woken
    (reply,) = lane.commit()
    assert isinstance(reply.result, SentimentBatchResult)
    assert reply.result.restaurant_id == "7"
    assert [(r.id, r.sentiment) for r in reply.result.reviews] == [(1, "positive"), (2, "neutral"), (3, "negative")]
    found = reply.result
    assert (found.positive_count, found.negative_count, found.neutral_count, found.total_count) == (1, 1, 1, 3)
    assert (found.positive_ratio, found.negative_ratio, found.neutral_ratio) == (34, 33, 33)
    assert found.reviews[2].score == pytest.approx(1 / (1 + 2.718281828 ** (0.1 - 3.0)), rel=0.01)


def test_a_reply_says_whose_it_is() -> None:
    """Key, partition and id are the request's; the trace goes on; the id is the same when it is answered again."""
    lane = RequestsLane()
    lane.send("sentiment", sentiment("a"), index=2, count=3)
    lane.answer_all()
    lane.commit()
    (output,) = lane.published
    assert (output.key, output.place, output.origin) == (b"r/2", b"r", 0)
    marks = dict(output.headers)
    assert marks["ce_id"] == f"{NAMES.requests}/0/0/reply".encode()
    assert (marks["ce_type"], marks[TRACEPARENT]) == (b"restaurant.reply.v1", TRACE)
    assert lane.commit() == []


def test_what_is_ready_waits_for_nobody_before_it() -> None:
    """A slow request at the head of the partition holds back no reply."""
    lane = RequestsLane()
    lane.send("sentiment", sentiment("slow"), index=0, count=2)
    lane.send("sentiment", sentiment("quick"), index=1, count=2)
    slow, quick = lane.asks
    lane.answer(quick)
    assert [reply.index for reply in lane.commit()] == [1]
    lane.answer(slow)
    assert [reply.index for reply in lane.commit()] == [0]
    assert sorted(lane.worker.done) == [0, 1]


def test_nothing_of_a_restaurant_without_reviews() -> None:
    """Sentiment counts nothing; of nothing there is no summary, and there are no strengths."""
    lane = RequestsLane()
    lane.send("sentiment", sentiment())
    lane.send("summary", summary([], []))
    lane.send("strength", strength([], ["a"]))
    counted, *failed = lane.commit()
    assert isinstance(counted.result, SentimentBatchResult)
    assert (counted.result.total_count, counted.result.positive_ratio, counted.result.reviews) == (0, 0, ())
    assert [reply.error.code for reply in failed if reply.error] == ["no_reviews"] * 2
    assert lane.asks == []


def test_priority_deadline_and_budget_go_with_every_question() -> None:
    """High is the usual priority; the deadline is on the dispatcher's clock; what waits counts for requests alone."""
    lane = RequestsLane()
    soon = datetime.fromtimestamp(lane.now + 5, UTC).isoformat()
    lane.send("sentiment", sentiment("a"), priority="low", deadline=soon, max_tokens_per_batch=1500)
    lane.send("summary", summary(["a"], []))
    first, second = lane.asks
    assert (first.rank, first.deadline, first.budget, first.feed) == (Rank.LOW, 1005.0, 1500, NAMES.requests)
    assert (second.rank, second.deadline, second.budget) == (Rank.HIGH, None, None)
    assert len({first.name, second.name}) == 2


def test_one_failure_is_its_restaurants_answer() -> None:
    """At once; the questions that are left are dropped, and late answers change nothing. Others are not concerned."""
    lane = RequestsLane()
    lane.send("sentiment", sentiment("a", "b", "c"), index=0, count=2)
    lane.send("sentiment", sentiment("d"), index=1, count=2)
    one, two, three, other = lane.asks
    lane.answer(one)
    two.failed(DeadLetter("engine_error", "out of order"), 5)
    three.failed(Expired(), 0)
    assert three.owner.closed
    assert not other.owner.closed
    lane.asks.remove(two)
    lane.answer_all()
    failed, well = lane.commit()
    assert (failed.error and failed.error.code, failed.result) == ("engine_error", None)
    assert well.error is None
    assert well.result


def test_a_deadline_that_has_passed_is_the_answer() -> None:
    """Also of a summary in the middle of its rounds."""
    lane = RequestsLane()
    lane.send("summary", summary(["a"] * 200, []))
    while len(lane.asks) > 1:
        lane.answer(lane.asks[0])
    lane.asks[0].failed(Expired(), 0)
    (reply,) = lane.commit()
    assert reply.error is not None
    assert reply.error.code == "deadline_exceeded"


def request_bytes(**changes: object) -> bytes:
    """A sentiment request's record, with changes that make it none."""
    whole = {"request_id": "r", "index": 0, "count": 1, "kind": "sentiment", "restaurant": sentiment("a")}
    return encode_document({**whole, **changes})


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "null_value"),
        (b"{", "not_json"),
        (b"[]", "invalid_event"),
        (b'{"request_id": "r", "index": 0, "count": 1, "kind": "sentiment"}', "invalid_event"),
        (request_bytes(kind="summary"), "invalid_event"),
        (request_bytes(index=1), "invalid_event"),
        (request_bytes(max_tokens_per_batch=100), "invalid_event"),
    ],
)
def test_what_is_no_request_is_a_dead_letter(value: bytes | None, reason: str) -> None:
    """Byte for byte, with the reason; nobody is answered."""
    lane = RequestsLane()
    lane.send_bytes(value)
    assert lane.commit() == []
    (letter,) = lane.published
    assert (letter.topic, letter.key, letter.value) == (NAMES.dlq, b"k", value)
    assert dict(letter.headers)["dlq.reason"] == reason.encode()
    assert list(lane.worker.done) == [0]


def test_a_header_name_that_is_not_utf_8_makes_a_dead_letter() -> None:
    """Though the request itself could be read."""
    lane = RequestsLane()
    lane.send_bytes(request_bytes(), ("\udcff", b""))
    assert (lane.commit(), lane.asks) == ([], [])
    (letter,) = lane.published
    assert dict(letter.headers)["dlq.reason"] == b"invalid_header"


def test_a_reply_that_kafka_refuses_becomes_an_error() -> None:
    """Too large, say: the client learns of it."""
    lane = RequestsLane()
    lane.send("sentiment", sentiment("a"))
    lane.answer_all()
    staged = lane.workload.stage((), {})
    (reply,) = lane.commit({staged.outputs[0].origin: "too large"})
    assert (reply.error and reply.error.code, reply.result) == ("output_refused", None)


def test_a_summary_reads_positive_and_negative_reviews_together() -> None:
    """One prompt where they fit; quotes are verbatim, with the id that was given; counts are of what was given."""
    lane = RequestsLane()
    lane.send("summary", summary(["고기가 맛있어요. 또 올게요!"], ["불친절했어요", "비싸요"]))
    (ask,) = lane.asks
    assert ask.task.reviews == ("고기가 맛있어요. 또 올게요!", "불친절했어요", "비싸요")
    assert ask.task.leanings == ("positive", "negative", "negative")
    lane.answer(ask)
    (reply,) = lane.commit()
    assert isinstance(reply.result, SummaryBatchResult)
    assert reply.result.overall_summary == SAID[Kind.SUMMARY]["overall_summary"]
    (food,) = reply.result.positive_aspects
    assert (food.aspect, food.support_count, food.evidence[0].review_id) == ("food", 1, 1)
    assert food.evidence[0].quote in "고기가 맛있어요. 또 올게요!"
    assert (reply.result.positive_count, reply.result.negative_count, reply.result.review_count) == (1, 2, 3)


@settings(max_examples=25, deadline=None)
@given(
    positive=st.integers(0, 300),
    negative=st.integers(0, 60),
    length=st.sampled_from([1, 40, 400, 3000]),
    budget=st.none() | st.sampled_from([1000, 4000]),
)
def test_any_number_of_reviews_is_read_once_each(positive: int, negative: int, length: int, budget: int | None) -> None:
    """In prompts within the budget, merged: each review supports its aspect once."""
    lane = RequestsLane()
    texts = [f"{number:05}" + "x" * length for number in range(positive + negative)]
    item = {"restaurant_id": 1, "positive_reviews": reviews(*texts[:positive]),
            "negative_reviews": reviews(*texts[positive:])}  # fmt: skip
    lane.send("summary", item, **({"max_tokens_per_batch": budget} if budget else {}))
    read: list[str] = []
    while lane.asks:
        ask = lane.asks[0]
        read.extend(ask.task.reviews)
        every = list(range(1, len(ask.task.reviews) + 1))
        claims = [{"aspect": "food", "claim": "음식", "reviews": every}]
        document = {"overall_summary": "요약", "positive_aspects": claims, "negative_aspects": []}
        lane.answer(ask, Answer(text=_text(document)))
    assert read == texts
    (reply,) = lane.commit()
    if texts:
        assert isinstance(reply.result, SummaryBatchResult)
        assert [aspect.support_count for aspect in reply.result.positive_aspects] == [len(texts)]


def test_an_answer_that_cannot_be_read_is_asked_for_again() -> None:
    """Nothing of it stays."""
    lane = RequestsLane()
    lane.send("summary", summary(["a"], []))
    (ask,) = lane.asks
    with pytest.raises(RetryLater):
        ask.answered(Answer(text="{"), Prepared(ask.task, 1, "", 0, truncated=False))
    lane.answer(ask)
    assert lane.commit()[0].error is None


def kinds(lane: RequestsLane) -> list[tuple[Kind, str]]:
    """What is asked now, and for whose turn."""
    return [(ask.task.kind, ask.restaurant) for ask in lane.asks]


def test_the_second_stage_waits_for_its_own_first_alone() -> None:
    """Two restaurants of one call: the first is through while the second has not been answered at all."""
    lane = RequestsLane()
    lane.send("strength", strength(["고기가 맛있어요"], ["무난해요"]), index=0, count=2)
    lane.send("strength", strength(["고기가 맛있어요"], ["무난해요"]), index=1, count=2)
    target, others, *_ = lane.asks
    lane.answer(target)
    assert [kind for kind, _ in kinds(lane)] == [Kind.SUMMARY] * 3
    lane.answer(others)
    assert kinds(lane)[-1] == (Kind.COMPARISON, "r/0")
    lane.answer(lane.asks[-1])
    assert kinds(lane)[-1] == (Kind.STRENGTH, "r/0")
    stage_2 = lane.asks[-1]
    assert stage_2.task.background in {"", SAID[Kind.COMPARISON]["comparison_summary"]}
    lane.answer(stage_2)
    (reply,) = lane.commit()
    assert isinstance(reply.result, StrengthBatchResult)
    assert (reply.index, reply.result.target_restaurant_id) == (0, "t")
    assert (reply.result.target_count, reply.result.comparison_count) == (1, 1)
    assert reply.result.comparison_summary == SAID[Kind.COMPARISON]["comparison_summary"]
    (found,) = reply.result.strengths
    assert (found.support_ratio, found.comparison_ratio, found.lift) == (1.0, 1.0, 1.0)
    assert [kind for kind, _ in kinds(lane)] == [Kind.SUMMARY] * 2


def test_strengths_with_nobody_to_compare_with() -> None:
    """Its own, and no first stage; the questions' names differ all the same."""
    lane = RequestsLane()
    lane.send("strength", strength(["고기가 맛있어요", "좋아요"], []))
    lane.answer_all()
    (reply,) = lane.commit()
    assert isinstance(reply.result, StrengthBatchResult)
    assert (reply.result.comparison_summary, reply.result.comparison_count) == ("", 0)
    assert [found.lift for found in reply.result.strengths] == [None]


def test_a_target_that_nobody_praises() -> None:
    """A result that says so, without a second stage."""
    lane = RequestsLane()
    lane.send("strength", strength(["비싸요"], []))
    nothing = {"overall_summary": "요약", "positive_aspects": [], "negative_aspects": []}
    lane.answer(lane.asks[0], Answer(text=_text(nothing)))
    (reply,) = lane.commit()
    assert isinstance(reply.result, StrengthBatchResult)
    assert (reply.result.strengths, lane.asks) == ((), [])
    assert reply.result.strength_summary


def test_a_lane_that_has_closed_answers_nobody() -> None:
    """Its records are another member's."""
    lane = RequestsLane()
    lane.send("sentiment", sentiment("a"))
    lane.worker.closed = True
    (ask,) = lane.asks
    assert ask.owner.closed
    ask.failed(DeadLetter("engine_error", "gone"), 1)
    assert lane.commit() == []


async def test_with_the_embedded_engine() -> None:
    """The same through a real engine's prompts and answers."""
    engine = LocalEngine()
    await engine.start()
    lane = RequestsLane()
    lane.send("summary", summary(["음식이 맛있네요!"], ["서비스가 아쉽네요"]))
    lane.send("strength", strength(["음식이 맛있고 서비스가 좋아요!"], ["음식 맛은 무난하고 실패는 없는 편이다."]))
    async with asyncio.timeout(60):
        while lane.asks:
            lane.answer(lane.asks[0], await _answer(engine, lane.asks[0].task))
    await engine.stop()
    made, strengths = lane.commit()
    assert isinstance(made.result, SummaryBatchResult)
    assert isinstance(strengths.result, StrengthBatchResult)
    assert [aspect.aspect for aspect in made.result.positive_aspects] == ["food"]
    assert [aspect.aspect for aspect in made.result.negative_aspects] == ["service"]
    assert strengths.result.strengths[0].evidence[0].quote == "음식이 맛있고 서비스가 좋아요!"


async def _answer(engine: LocalEngine, task: Task) -> Answer:
    found: list[Answer] = []
    take: Callable[[int, Any], None] = lambda _, answer: found.append(answer)  # noqa: E731
    await engine.run(await engine.prepare([task], 4000), take)
    return found[0]


async def test_a_restaurant_that_is_begun_is_finished_before_the_last_is_begun(tmp_path: Path) -> None:
    """Both stages of the first are over while most of the others' first stage still waits: counted, not timed."""
    answered: list[Kind] = []
    engine, hooks = LocalEngine(), Hooks()
    quarantine = Quarantine(StateDirectory(tmp_path, "unused"), hooks)
    dispatcher = make_dispatcher(load(), engine, quarantine, hooks)

    def submit(ask: Ask) -> None:
        use = ask.answered

        def count(answer: Answer, prepared: Prepared) -> None:
            answered.append(ask.task.kind)
            use(answer, prepared)

        dispatcher.submit(replace(ask, answered=count))

    lane = RequestsLane(asks=cast("Any", SimpleNamespace(append=submit)))
    for index in range(RESTAURANTS):
        reviews = [{"content": f"{text} ({index}, {n})"} for n, text in enumerate(["음식이 맛있어요", "친절해요"] * 10)]
        item = {"target_restaurant_id": index, "target_reviews": reviews, "comparison_reviews": reviews}
        lane.send("strength", item, index=index, count=RESTAURANTS)
    await engine.start()
    run = asyncio.create_task(dispatcher.run())
    async with asyncio.timeout(60):
        while not lane.workload.has_output():
            await asyncio.sleep(0.001)
    run.cancel()
    await engine.stop()
    assert len(answered) < 2 * RESTAURANTS  # of six questions a restaurant
