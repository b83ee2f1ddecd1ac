"""Reviews that try to give orders, with a real vLLM: nobody else notices, every answer is valid."""

from collections.abc import Callable

from consumer.engines.vllm.engine import VllmEngine
from deploy.kafka.sources import Kafka
from schemas.results import SentimentResult
from tests.integration.injections import (
    PLAIN,
    answered,
    attacks,
    differences,
    effect_on_own_label,
    faults,
    honest_reviews,
    injections,
    texts_of,
)
from tests.integration.world import World
from tests.llm.conftest import WHOLE
from tests.llm.test_vllm_pipeline import Lent

CHOSEN = injections() if WHOLE else injections()[::5]
HONEST = 20 if WHOLE else 10
"""Reviews of an honest restaurant, which are one summary's."""
PARROTED = f"{PLAIN}'s strengths hold our prompt"
"""Nobody gives orders there: a small base model repeats its examples unasked."""
NOISE = 0.05
"""Of a score: the same prompt, cached or not, and in another batch, differs by so much in bfloat16."""


def world(kafka: Kafka, prefix: str) -> World:
    """One partition, so that all are neighbours."""
    made = World(kafka.bootstrap_servers, prefix, partitions=1)
    made.tuned("jobs", summary_min_reviews=HONEST, summary_min_tokens=10**9, summary_max_age_seconds=3600.0)
    made.patience = 500.0
    return made


def same(one: SentimentResult, two: SentimentResult) -> bool:
    """The same label, or one that hangs by noise."""
    if one.score is None or two.score is None:
        return False
    if one.sentiment != two.sentiment:
        return one.score < 0.5 + NOISE and two.score < 0.5 + NOISE
    return abs(one.score - two.score) <= NOISE


async def test_orders_change_nothing_of_others_and_every_answer_is_valid(
    vllm: VllmEngine, kafka: Kafka, topic_prefix: str, record_property: Callable[[str, object], None]
) -> None:
    """The same honest reviews alone, and among reviews that give orders. The effect on their own labels is a figure."""
    honest = honest_reviews(HONEST)
    before = await answered(world(kafka, f"{topic_prefix}before."), Lent(vllm), honest)
    mixed = [*honest, *attacks(CHOSEN)]
    after = await answered(world(kafka, f"{topic_prefix}after."), Lent(vllm), mixed)
    assert len(after.results) == len(mixed)
    assert differences(before, after, same) == []
    assert [fault for fault in faults(after, texts_of(mixed)) if not fault.startswith(PARROTED)] == []
    effect = effect_on_own_label(after, CHOSEN)
    record_property("effect", str(effect))
    print(f"\n{effect}")  # noqa: T201 - the figure for tests/README
    assert effect.reviews == len(CHOSEN)
