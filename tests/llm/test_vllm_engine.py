"""What is `vllm`'s own: the prefix cache, labels, load, and refusals at the start."""

import asyncio
import os

import pytest

from consumer.analysis.sentiment import read_sentiment
from consumer.analysis.task import Kind, Task
from consumer.engines.contract import Answer
from consumer.engines.vllm.engine import VllmEngine, VllmRules
from consumer.errors import ConfigError
from consumer.hooks.pulled import VllmMetrics
from schemas.base import Sentiment
from tests.contract.engine_suite import REVIEWS, Delivered, sentiment
from tests.llm.conftest import BUDGET

BLOCK = 32


async def answers(engine: VllmEngine, *tasks: Task) -> list[Answer]:
    """Of one batch."""
    delivered = Delivered()
    await engine.run(await engine.prepare(tasks, BUDGET), delivered)
    return delivered.answers()


async def test_the_second_request_finds_the_shared_part_of_its_prompt_cached(vllm: VllmEngine) -> None:
    """As many tokens as the batcher counts on, for another review."""
    await answers(vllm, sentiment("첫 번째 리뷰입니다."))
    (prepared,) = await vllm.prepare([sentiment("두 번째는 조금 다릅니다.")], BUDGET)
    (answer,) = await answers(vllm, sentiment("두 번째는 조금 다릅니다."))
    assert prepared.prefix_tokens >= 6 * BLOCK
    assert prepared.prefix_tokens % BLOCK == 0
    assert answer.cached_tokens >= prepared.prefix_tokens


async def test_all_three_labels_have_log_probabilities_of_one_distribution(vllm: VllmEngine) -> None:
    """The model's own: they need not sum to 1, and never exceed it."""
    (answer,) = await answers(vllm, sentiment(REVIEWS[0]))
    assert set(answer.label_logprobs or ()) == set(Sentiment)
    assert all(value <= 0 for value in (answer.label_logprobs or {}).values())
    assert answer.output_tokens == 1


async def test_a_review_of_50000_characters_is_answered_and_its_neighbours_are_untouched(vllm: VllmEngine) -> None:
    """Cut, marked; the others get the very answers that they get without it."""
    neighbours = [sentiment(text) for text in REVIEWS[:3]]
    alone = [read_sentiment(answer).label for answer in await answers(vllm, *neighbours)]
    long = sentiment((REVIEWS[0] + " ") * (50_000 // len(REVIEWS[0])))
    prepared = await vllm.prepare([*neighbours, long], BUDGET)
    assert [its.truncated for its in prepared] == [False, False, False, True]
    found = await answers(vllm, *neighbours, long)
    assert [read_sentiment(answer).label for answer in found[:3]] == alone
    assert read_sentiment(found[3]).label is Sentiment.POSITIVE


async def test_load_is_told_while_it_works(vllm: VllmEngine) -> None:
    """From the ticks of every step."""
    batch = await vllm.prepare([Task(Kind.COMPARISON, "ko", (), ())] * 8, BUDGET)
    run = asyncio.create_task(vllm.run(batch, Delivered()))
    loads = []
    while not run.done():
        await asyncio.sleep(0.05)
        loads.append(vllm.load())
    await run
    assert max(load.running for load in loads if load) > 0
    assert max(load.cache_usage for load in loads if load) > 0


async def test_vllms_own_metrics_are_on_our_page(vllm: VllmEngine) -> None:
    """It registers them with prometheus_client's default registry, in this process: see `VllmMetrics`."""
    await answers(vllm, sentiment(REVIEWS[0]))
    values = {sample.name: sample.value for family in VllmMetrics().collect() for sample in family.samples}
    assert values["vllm:generation_tokens_total"] >= 1
    assert "vllm:kv_cache_usage_perc" in values


@pytest.mark.parametrize(
    ("model", "args", "match"),
    [
        (None, {"max_model_length": 10}, r"no engine argument 'max_model_length'; did you mean max_model_len"),
        (None, {"max_model_len": -5}, r"vLLM refuses VLLM_MODEL=.* with VLLM_ENGINE_ARGS"),
        ("/nowhere/at/all", {}, r"vLLM refuses VLLM_MODEL='/nowhere/at/all'"),
    ],
)
async def test_what_vllm_refuses_stops_the_start(
    vllm: VllmEngine, model: str | None, args: dict[str, object], match: str
) -> None:
    """With the setting's name; our own variables of its prefix come back afterwards."""
    os.environ["VLLM_MAX_BATCH_SIZE"] = "80"
    engine = VllmEngine(VllmRules(model or vllm._rules.model, args, BUDGET, 60))
    try:
        with pytest.raises(ConfigError, match=match):
            await engine.start()
        assert os.environ["VLLM_MAX_BATCH_SIZE"] == "80"
    finally:
        del os.environ["VLLM_MAX_BATCH_SIZE"]
        await engine.stop()
    assert not engine.health().ready
