"""Cutting to fit, in a tokenizer's own tokens and in estimated ones."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.analysis.answers import MAX_REVIEWS
from consumer.analysis.task import Kind, Task
from consumer.engines.estimate import Estimate, count_tokens
from consumer.engines.fitting import Fitter, prepared
from consumer.engines.rendering import Voice
from consumer.errors import ConfigError


def by_twos(texts: Sequence[str]) -> list[range]:
    """A token for every two characters."""
    return [range((len(text) + 1) // 2) for text in texts]


FITTER = Fitter(Voice(), by_twos, 8000)


@given(
    st.lists(st.text(max_size=30_000), min_size=1, max_size=MAX_REVIEWS),
    st.sampled_from([Kind.SENTIMENT, Kind.SUMMARY]),
    st.integers(3500, 20_000),
)
def test_whatever_the_texts_the_whole_fits(texts: list[str], kind: Kind, budget: int) -> None:
    """Prompt and answer together; and it is marked if, and only if, text was cut."""
    reviews = tuple(texts[:1] if kind is Kind.SENTIMENT else texts)
    task = Task(kind, "ko", reviews)
    (fitted,) = FITTER.fit([task], budget)
    assert len(fitted.head) + len(fitted.tail) + fitted.answer <= min(budget, 8000)
    assert fitted.truncated == (fitted.task.reviews != reviews)
    assert by_twos([fitted.prompt.tail])[0] == fitted.tail
    its = prepared(fitted, None, 32)
    assert its.prefix_tokens % 32 == 0
    assert its.prefix_tokens + its.own_tokens == len(fitted.head) + len(fitted.tail) + fitted.answer


def test_short_neighbours_of_a_long_text_stay_whole() -> None:
    """The long one alone is cut, and keeps both ends."""
    long = "처음 " + "중간 " * 20_000 + "마지막"
    (fitted,) = FITTER.fit([Task(Kind.SUMMARY, "ko", ("짧아요.", long, "이것도."))], 6000)
    assert fitted.truncated
    assert fitted.task.reviews[0] == "짧아요."
    assert fitted.task.reviews[2] == "이것도."
    assert fitted.task.reviews[1].startswith("처음")
    assert fitted.task.reviews[1].endswith("마지막")


def test_a_budget_without_room_for_the_empty_task_is_refused() -> None:
    """By the item; and at the start, with the setting's name."""
    with pytest.raises(ValueError, match="budget"):
        FITTER.fit([Task(Kind.SUMMARY, "ko", ("맛있어요",))], 500)
    with pytest.raises(ConfigError, match="VLLM_MAX_TOKENS_PER_BATCH of 500 tokens is too small"):
        FITTER.require_room(500, "VLLM_MAX_TOKENS_PER_BATCH")
    with pytest.raises(ConfigError, match="the model's context of 700 tokens"):
        Fitter(Voice(), by_twos, 700).require_room(4000, "VLLM_MAX_TOKENS_PER_BATCH")
    FITTER.require_room(4000, "VLLM_MAX_TOKENS_PER_BATCH")


def test_estimates_are_corrected_by_what_a_server_counts() -> None:
    """The first report counts whole, later ones a little; nothing absurd is believed."""
    text = "음식이 정말 맛있어요 " * 10
    estimate = Estimate()
    assert estimate.count(text) == count_tokens(text)
    estimate.learn(text, 2 * count_tokens(text))
    assert estimate.count(text) == 2 * count_tokens(text)
    estimate.learn(text, count_tokens(text))
    assert count_tokens(text) < estimate.count(text) < 2 * count_tokens(text)
    estimate.learn("x", 1_000_000)
    assert estimate.factor <= Estimate.HIGHEST
