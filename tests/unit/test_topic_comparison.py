"""What is wrong with the topics, from what a broker says about them."""

import pytest

from consumer.kafka.comparison import problems, wanted_config
from schemas.topics import TopicNames, topic_specs

NAMES = TopicNames.model_construct()
SPECS = topic_specs(NAMES, "g")
COUNTS = {spec.name: 4 for spec in SPECS}
LIMITS = {NAMES.reviews: "1048588", NAMES.requests: "1048588"}
CONFIGS = {
    spec.name: {"max.message.bytes": LIMITS.get(spec.name, "1048588"), **spec.config}
    for spec in SPECS
}  # fmt: skip


def found(counts: dict[str, int] | None = None, configs: dict[str, dict[str, str]] | None = None) -> list[str]:
    """List the problems as their texts, with some counts or settings changed."""
    return [str(problem) for problem in problems(SPECS, {**COUNTS, **(counts or {})}, {**CONFIGS, **(configs or {})})]


def test_topics_as_specified_have_no_problem() -> None:
    """The settings that `create` gives pass the check."""
    assert found() == []


def test_a_missing_topic_says_how_to_create_it() -> None:
    """One problem for it, none for those that would be compared with it."""
    counts = {name: count for name, count in COUNTS.items() if name != NAMES.reviews}
    said = "does not exist; create it with `review-consumer topics create` (or no ACL lets this user describe it)"
    assert [str(problem) for problem in problems(SPECS, counts, CONFIGS)] == [f"topic restaurant.reviews {said}"]


@pytest.mark.parametrize("name", [NAMES.sentiment, NAMES.totals, NAMES.summary, "g.restaurant.reviews.state"])
def test_topics_with_the_reviews_partitions_must_have_as_many(name: str) -> None:
    """The outputs of a partition's lane go to the partition of the same number."""
    (problem,) = found({name: 3})
    assert problem.startswith(f"topic {name} has 3 partitions, restaurant.reviews has 4")


@pytest.mark.parametrize("name", [NAMES.strength, NAMES.dlq, NAMES.requests, NAMES.replies])
def test_other_topics_may_have_any_count(name: str) -> None:
    """They are written by key."""
    assert found({name: 1}) == []


def test_the_changelog_by_group_follows_its_own_input() -> None:
    """A changelog has its input's partitions, whichever input it is."""
    assert found({NAMES.by_group: 2, "g.restaurant.summaries.by-group.state": 2}) == []
    (problem,) = found({NAMES.by_group: 2})
    assert "restaurant.summaries.by-group has 2" in problem


def test_a_wrong_cleanup_policy_names_the_command() -> None:
    """A summary topic that deletes would forget restaurants."""
    (problem,) = found(configs={NAMES.summary: {"cleanup.policy": "delete"}})
    assert problem.startswith("topic restaurant.summary has cleanup.policy=delete, compact is needed; set it with")
    assert problem.endswith("`kafka-configs.sh --alter --add-config cleanup.policy=compact`")


def test_dead_letters_need_the_inputs_limit_and_64_kib() -> None:
    """The larger of the two inputs counts; one byte less is a problem."""
    raised = {NAMES.requests: {"cleanup.policy": "delete", "max.message.bytes": "2000000"}}
    fits = {NAMES.dlq: {"cleanup.policy": "delete", "max.message.bytes": "2065536"}}
    short = {NAMES.dlq: {"cleanup.policy": "delete", "max.message.bytes": "2065535"}}
    assert found(configs={**raised, **fits}) == []
    (problem,) = found(configs={**raised, **short})
    assert "max.message.bytes=2065535, 2065536 is needed" in problem


def test_what_the_broker_does_not_tell_is_not_compared() -> None:
    """Counts alone, as on a broker with no admin API."""
    assert problems(SPECS, COUNTS, {}) == ()


def test_dead_letters_are_created_large_enough_for_an_input_raised_before() -> None:
    """The specification's own size is the least."""
    (dlq,) = (spec for spec in SPECS if spec.name == NAMES.dlq)
    raised = {NAMES.reviews: {"max.message.bytes": "5000000"}}
    lowered = {NAMES.reviews: {"max.message.bytes": "1000"}}
    assert wanted_config(dlq, raised)["max.message.bytes"] == "5065536"
    assert wanted_config(dlq, lowered)["max.message.bytes"] == "1114124"
    assert wanted_config(dlq, {})["max.message.bytes"] == "1114124"
