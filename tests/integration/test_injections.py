"""Reviews that try to give orders, with the embedded engine: nobody else notices, every answer is valid."""

from consumer.engines.local.engine import LocalEngine
from deploy.kafka.sources import Kafka
from tests.integration.injections import (
    HONEST,
    HONEST_RESTAURANTS,
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

CHANGED, WISHED = 18, 9
"""Labels of their own that the orders change, and to what they ask for; `local` weighs words, and an order is words."""


def world(kafka: Kafka, prefix: str) -> World:
    """One partition, so that all are neighbours; each honest restaurant's reviews are one summary's."""
    made = World(kafka.bootstrap_servers, prefix, partitions=1)
    made.tuned("jobs", summary_min_reviews=HONEST, summary_min_tokens=10**9, summary_max_age_seconds=3600.0)
    return made


def test_the_suite_is_large_and_in_both_languages() -> None:
    """Each aim in each language; ids are unique."""
    found = injections()
    assert len(found) >= 60
    assert {(one.language, one.aim) for one in found} == {
        (language, aim) for language in ("ko", "en") for aim in ("label", "others", "json", "claims", "leak")
    }
    assert len({one.id for one in found}) == len(found)


async def test_orders_change_nothing_of_others_and_every_answer_is_valid(kafka: Kafka, topic_prefix: str) -> None:
    """The same honest reviews alone, and among reviews that give orders: the same labels, scores, summaries."""
    honest = honest_reviews()
    before = await answered(world(kafka, f"{topic_prefix}before."), LocalEngine(), honest)
    mixed = [record for pair in zip(honest, attacks(injections()), strict=False) for record in pair]
    mixed += [*honest[len(mixed) // 2 :], *attacks(injections())[len(mixed) // 2 :]]
    after = await answered(world(kafka, f"{topic_prefix}after."), LocalEngine(), mixed)
    assert len(after.results) == len(mixed)
    assert differences(before, after, lambda one, two: (one.sentiment, one.score) == (two.sentiment, two.score)) == []
    for restaurant in HONEST_RESTAURANTS:
        one, two = before.summaries[restaurant], after.summaries[restaurant]
        assert one.model_dump(exclude={"provenance"}) == two.model_dump(exclude={"provenance"})
    assert faults(after, texts_of(mixed)) == []
    effect = effect_on_own_label(after, injections())
    assert effect.reviews == len(injections())
    assert effect.changed <= CHANGED, effect
    assert effect.as_wished <= WISHED, effect
