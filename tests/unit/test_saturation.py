"""The contestants of the saturation benchmark ask what the service asks, each in its own way."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

import pytest

from consumer.analysis.task import Kind, Task
from consumer.engines.contract import Answer, Deliver, Prepared
from consumer.errors import RetryLater
from schemas.batch import RatedReview
from schemas.codec import decode
from schemas.events import AnalysisRequest
from tests.benchmarks.saturation.contestants import Client, Most, at_once, fill, in_batches, one_at_a_time
from tests.benchmarks.saturation.report import ONE_AT_A_TIME, Case, Results, Run, compared
from tests.benchmarks.saturation.texts import A_RESTAURANT, reviews, strength_item, summary_item
from tests.benchmarks.saturation.workloads import Ask, Workload, sentiment, strengths, summaries
from tests.integration.scripted import ScriptedEngine
from tests.unit.test_requests_lane import RequestsLane

BUDGET = 4000
Way = Callable[[Client, Sequence[Ask]], Awaitable[None]]
BATCHES = partial(in_batches, permits=1, most=Most(10_000, 3))
BARRIERS = partial(in_batches, permits=2, most=Most(10_000, 3))
WAYS: list[Way] = [one_at_a_time, BATCHES, BARRIERS, at_once]


class Watched(ScriptedEngine):
    """Notes what is asked together."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[Task]] = []
        self.running = self.most_running = 0

    async def prepare(self, tasks: Sequence[Task], budget: int) -> list[Prepared]:
        """With ids, as `vllm` has them."""
        return [
            replace(its, payload=[0] * (its.prefix_tokens + its.own_tokens))
            for its in await super().prepare(tasks, budget)
        ]

    async def run(self, batch: Sequence[Prepared], deliver: Deliver) -> None:
        """As a scripted one does."""
        self.batches.append([its.task for its in batch])
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await super().run(batch, deliver)
        self.running -= 1


def prepared(tokens: int, prefix: str = "a", shared: int = 50) -> Prepared:
    """A prompt of so many tokens, some of which it shares with others."""
    return Prepared(Task(Kind.SENTIMENT, "ko"), 1, prefix, shared, truncated=False, payload=[0] * tokens)


@pytest.mark.parametrize(
    ("sizes", "most", "expected"),
    [
        ([60, 60, 60], Most(70, 9), 2),  # 60 + 10, then 80
        ([60, 60, 60], Most(80, 9), 3),
        ([60, 60, 60], Most(1000, 2), 2),
        ([500, 10], Most(70, 9), 1),  # too heavy, and alone
        ([60], Most(70, 9), 1),
    ],
)
def test_a_batch_takes_what_fits_and_pays_for_a_shared_prefix_once(sizes: list[int], most: Most, expected: int) -> None:
    """In order, one at least."""
    assert fill(map(prepared, sizes), most) == expected


def test_another_prefix_is_paid_for_too() -> None:
    """A batch may hold prompts of several kinds."""
    assert fill([prepared(60), prepared(60, "b")], Most(119, 9)) == 1
    assert fill([prepared(60), prepared(60, "b")], Most(120, 9)) == 2


@pytest.mark.parametrize("ask", WAYS)
async def test_every_way_asks_the_same(ask: Way) -> None:
    """Of each restaurant both digests, and both stages of its strengths."""
    engine = Watched()
    client = Client(engine, BUDGET)
    await ask(client, strengths(7, BUDGET).start())
    kinds = Counter(task.kind for batch in engine.batches for task in batch)
    assert kinds == {Kind.SUMMARY: 14, Kind.COMPARISON: 7, Kind.STRENGTH: 7}
    assert (client.prompts, client.failed) == (28, set())


async def test_one_at_a_time_finishes_a_restaurant_before_the_next() -> None:
    """Each prompt alone."""
    engine = Watched()
    await one_at_a_time(Client(engine, BUDGET), strengths(2, BUDGET).start())
    assert {len(batch) for batch in engine.batches} == {1}
    assert engine.most_running == 1
    order = [batch[0].kind for batch in engine.batches]
    assert order == [Kind.SUMMARY, Kind.SUMMARY, Kind.COMPARISON, Kind.STRENGTH] * 2


@pytest.mark.parametrize(("ask", "permits"), [(BATCHES, 1), (BARRIERS, 2)])
async def test_batches_hold_their_permit_to_the_end(ask: Way, permits: int) -> None:
    """No more of them at once than there are permits, none larger than it may be."""
    engine = Watched()
    await ask(Client(engine, BUDGET), sentiment(reviews(20)).start())
    assert [len(batch) for batch in engine.batches] == [3] * 6 + [2]
    assert engine.most_running == permits


async def test_all_at_once_waits_for_nothing() -> None:
    """A restaurant's last stage is asked while another's first is not answered, from the same batch."""
    engine, asks = Watched(), strengths(2, BUDGET).start()
    engine.unanswered = lambda task: task == asks[-1].question.task
    run = asyncio.create_task(at_once(Client(engine, BUDGET), asks))
    async with asyncio.timeout(5):
        while not any(task.kind is Kind.STRENGTH for batch in engine.batches for task in batch):
            await asyncio.sleep(0)
    run.cancel()
    await asyncio.wait([run])


@pytest.mark.parametrize("way", WAYS)
async def test_an_invalid_answer_is_asked_for_once_more_by_a_stricter_prompt(way: Way) -> None:
    """As the service does; then its restaurant has failed, and is asked nothing more. The others go on."""
    engine, asks = Watched(), strengths(2, BUDGET).start()
    doomed = asks[0].question.task.reviews
    engine.script = lambda task, _: Answer(text="no JSON") if task.reviews == doomed else None
    client = Client(engine, BUDGET)
    await way(client, asks)
    asked = [task for batch in engine.batches for task in batch]
    assert [task.strict for task in asked if task.reviews == doomed] == [False, True]
    assert sum(task.kind is Kind.STRENGTH for task in asked) == 1
    assert client.failed == {0}


@pytest.mark.parametrize("way", [one_at_a_time, partial(in_batches, permits=1, most=Most(10_000, 1))])
async def test_of_a_restaurant_that_has_failed_nothing_more_is_asked(way: Way) -> None:
    """Its first stage, which is known by then, is dropped."""
    engine, asks = Watched(), strengths(2, BUDGET).start()
    doomed = asks[0].question.task.reviews
    engine.script = lambda task, _: Answer(text="no JSON") if task.reviews == doomed else None
    await way(Client(engine, BUDGET), asks)
    assert sum(batch[0].kind is Kind.COMPARISON for batch in engine.batches if batch) == 1


async def test_another_fault_ends_the_run() -> None:
    """The benchmark measures no outage."""
    engine = Watched()
    engine.script = lambda _task, _time: RetryLater("out of order")
    with pytest.raises(RetryLater):
        await one_at_a_time(Client(engine, BUDGET), summaries(1, BUDGET).start())


@pytest.mark.parametrize("workload", [summaries(3, BUDGET), strengths(3, BUDGET)], ids=["summary", "strength"])
def test_the_service_is_asked_the_very_same_first_questions(workload: Workload) -> None:
    """Its lane makes of the records what the contestants begin with."""
    lane = RequestsLane()
    for _, value in workload.records:
        lane.send_bytes(value)
    assert [ask.task for ask in lane.asks] == [ask.question.task for ask in workload.start()]
    assert [decode(AnalysisRequest, value).index for _, value in workload.records] == [0, 1, 2]


def test_no_two_texts_begin_alike() -> None:
    """Reviews that come again have their number in front; every restaurant begins with a review of its own."""
    texts = reviews(700)
    assert len(set(texts)) == 700
    assert texts[300].startswith("300. ")
    assert reviews(20) == texts[:20]
    items = [summary_item(number) for number in range(50)]
    assert len({item.positive_reviews[0].content for item in items}) == 50
    assert {len(item.positive_reviews) + len(item.negative_reviews) for item in items} == {A_RESTAURANT}


def test_a_strength_item_shares_no_review_between_its_sides() -> None:
    """Half of each side recommends."""
    item = strength_item(3)
    both = (item.target_reviews, item.comparison_reviews)
    assert len({review.content for side in both for review in side}) == A_RESTAURANT

    def recommends(review: RatedReview) -> bool:
        return review.is_recommended is True

    assert [sum(map(recommends, side)) for side in both] == [A_RESTAURANT // 4] * 2


def test_ratios_are_of_rates_round_by_round() -> None:
    """Of a run that was ended early, the rounds that both have finished."""
    case = Case(
        "summary", 10, "restaurants", {"through Kafka, vllm": [Run(10, 10, 0)] * 2, "all at once": [Run(5, 10, 0)]}
    )
    assert compared(case, [case]) == {"all at once": "0.50 (0.50 to 0.50)"}
    assert compared(Case("summary", 10, "restaurants", {"all at once": [Run(5, 10, 0)]}), []) == {}


def test_one_at_a_time_is_compared_by_its_rate_where_it_was_measured() -> None:
    """With the largest of the same kind; here 1 restaurant in 10 s against 50 in 100 s."""
    ours = "through Kafka, vllm"
    cases = [
        Case("summary", 1, "restaurants", {ONE_AT_A_TIME: [Run(99, 1, 0)]}),
        Case("summary", 10, "restaurants", {ONE_AT_A_TIME: [Run(100, 10, 0)]}),
        Case("strength", 20, "restaurants", {ONE_AT_A_TIME: [Run(1, 10, 0)]}),
        Case("summary", 50, "restaurants", {ours: [Run(100, 50, 0)]}),
    ]
    assert compared(cases[-1], cases) == {"one at a time, as with 10": "5.00 (5.00 to 5.00)"}


def test_figures_are_told_after_each_run(capsys: pytest.CaptureFixture[str]) -> None:
    """A run that dies has left what was measured until then."""
    told: list[object] = []
    results = Results(told.append)
    results.add(sentiment(["a", "b"]), "all at once", Run(2.0, 2, 0))
    results.add(sentiment(["a", "b"]), "all at once", Run(3.0, 2, 0))
    assert len(told) == 2
    assert "2 reviews" in capsys.readouterr().out
    (case,) = results.figures()["cases"]
    assert [run["seconds"] for run in case["runs"]["all at once"]] == [2.0, 3.0]
