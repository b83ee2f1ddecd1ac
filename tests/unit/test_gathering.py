"""Replies gathered: every place once, in order, whatever comes, how often, and from whom."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.asking import Ask, Limits, Question, utc_now, valid_request_id
from producer.gathering import INVALID_REPLY, Answer, Gathering, Pending, failures, in_order
from producer.kinds import SENTIMENT, SentimentPlace
from producer.silence import Silence
from schemas.batch import FailedRestaurant, SentimentBatchItem, SentimentBatchResult
from schemas.codec import decode
from schemas.events import AnalysisKind, AnalysisRequest
from schemas.findings import AnalysisError
from schemas.results import AnalysisReply

ERROR = AnalysisError(code="late", message="too late")


def items(count: int) -> list[SentimentBatchItem]:
    """Restaurants 0, 1, 2 ..."""
    return [SentimentBatchItem(restaurant_id=number, reviews=()) for number in range(count)]


def result(restaurant: str | int) -> SentimentBatchResult:
    """A result with no reviews."""
    return SentimentBatchResult(
        restaurant_id=restaurant, positive_count=0, negative_count=0, neutral_count=0, total_count=0,
        positive_ratio=0, negative_ratio=0, neutral_ratio=0, reviews=(),
    )  # fmt: skip


def reply(
    index: int, *, about: str | int | None = None, request: str = "r", kind: AnalysisKind = "sentiment"
) -> AnalysisReply:
    """A reply to a place, about its restaurant if nothing else is said."""
    return AnalysisReply(
        request_id=request, index=index, count=9, kind=kind, result=result(index if about is None else about)
    )


@given(st.integers(0, 12), st.lists(st.integers(0, 15), max_size=60), st.data())
def test_every_place_is_filled_once(count: int, replies: Sequence[int], data: st.DataObject) -> None:
    """By the first reply, error or time-out that comes for it; the results are in the request's order."""
    gathering = Gathering(SENTIMENT, items(count))
    answers: list[Answer[SentimentPlace]] = []
    for index in replies:
        new = index < count and index not in {answer.index for answer in answers}
        failed = data.draw(st.booleans())
        answer = gathering.fail(index, ERROR) if failed else gathering.take(reply(index))
        assert (answer is not None) == new
        if answer is not None:
            answers.append(answer)
    late = gathering.fail_missing(ERROR)
    assert [answer.index for answer in late] == sorted(answer.index for answer in late)
    answers += late
    assert gathering.complete
    assert [place.restaurant_id for place in in_order(answers)] == list(range(count))
    assert failures(answers) == sum(isinstance(answer.result, FailedRestaurant) for answer in answers)


@pytest.mark.parametrize(
    "wrong",
    [
        reply(0, about=1),
        reply(0, kind="summary"),
        AnalysisReply(request_id="r", index=0, count=1, kind="sentiment"),
    ],
)
def test_a_reply_that_does_not_fit(wrong: AnalysisReply) -> None:
    """Another restaurant, another kind, neither result nor error: the place fails, and is filled."""
    gathering = Gathering(SENTIMENT, items(1))
    answer = gathering.take(wrong)
    assert answer is not None
    assert answer.error is not None
    assert answer.error.code == INVALID_REPLY
    assert gathering.complete


def test_ids_are_compared_as_text() -> None:
    """1 and "1" are the same restaurant; what comes is what the replier gave."""
    gathering = Gathering(SENTIMENT, items(2))
    answer = gathering.take(reply(1, about="1"))
    assert answer is not None
    assert answer.error is None


class Taker:
    """Takes each place once."""

    def __init__(self) -> None:
        self.taken: list[int] = []

    def reply(self, reply: AnalysisReply) -> bool:
        """Take it unless it was taken."""
        new = reply.index not in self.taken
        self.taken += [reply.index] if new else []
        return new


def test_pending_is_bounded_and_drops_what_nobody_waits_for() -> None:
    """Room by restaurants; unknown and repeated replies are counted; a closed request leaves nothing behind."""
    pending, taker = Pending(3), Taker()
    assert pending.has_room(3)
    pending.open("a/b", taker, 2)
    assert not pending.has_room(2)
    assert pending.wants(b"a/b/0")
    assert not any(pending.wants(key) for key in (b"a/0", b"a/b", b"", None, b"\xff/0"))
    pending.take(reply(0, request="a/b"))
    pending.take(reply(0, request="a/b"))
    pending.take(reply(0, request="c"))
    assert (taker.taken, pending.dropped.repeats, pending.dropped.unknown) == ([0], 1, 6)
    with pytest.raises(ValueError, match="open already"):
        pending.open("a/b", taker, 1)
    pending.close("a/b")
    pending.close("a/b")
    assert (len(pending), pending.restaurants) == (0, 0)


def test_silence() -> None:
    """It begins with a request that nothing answered, ends with any reply, and lets one through at a time."""
    silence = Silence(probe_seconds=5)
    silence.hear(1)
    silence.unanswered(asked=0.5, now=2)  # somebody was answered meanwhile
    assert not silence.silent
    assert silence.wait(2) == 0
    silence.unanswered(asked=3, now=10)
    assert silence.wait(10) == 0
    assert silence.wait(11) == 4
    silence.unanswered(asked=10, now=14)
    assert silence.wait(14) == 1
    assert silence.wait(15) == 0
    silence.hear(16)
    assert [silence.wait(16), silence.wait(16)] == [0, 0]


def test_the_record_of_a_restaurant() -> None:
    """Its key, value and headers; a trace that is none is left out; the id begins as it was given."""
    ask = Ask(request_id="shop-1", traceparent="nonsense", max_tokens_per_batch=1000)
    question = Question(SENTIMENT, tuple(items(2)), ask, Limits(timeout_seconds=5))
    now = utc_now()
    key, value, headers = question.record(1, now, question.deadline(now))
    request = decode(AnalysisRequest, value)
    assert key == f"{question.request_id}/1".encode()
    assert (request.index, request.count, request.kind, request.max_tokens_per_batch) == (1, 2, "sentiment", 1000)
    assert request.deadline is not None
    assert (request.deadline - now).total_seconds() == 5
    assert question.request_id.startswith("shop-1.")
    assert "traceparent" not in dict(headers)
    with pytest.raises(ValueError, match="request_id"):
        Question(SENTIMENT, (), Ask(request_id="a/b"), Limits())
    assert [valid_request_id(text) for text in ("a", "", "é", "a" * 129, "a\n")] == [True, False, False, False, False]
