"""What holds for any text, any answer, any counts."""

import json
from dataclasses import dataclass
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.analysis.answers import (
    InvalidAnswer,
    SummaryAnswer,
    answer_schema,
    parse_comparison,
    parse_strength,
    parse_summary,
)
from consumer.analysis.calibration import Calibration
from consumer.analysis.prompts import render
from consumer.analysis.summary import merge, quote
from consumer.analysis.task import AspectName, Kind, Task
from consumer.analysis.text import MAX_QUOTE, sentences, tidy
from consumer.analysis.totals import ratios
from consumer.stream.state import ReviewState, without_review
from schemas.base import Sentiment
from schemas.findings import MAX_EVIDENCE, Aspect

COUNTS = st.integers(0, 10**9)
HOSTILE = st.text(alphabet="맛a 1<>[]/\n.!\x00\u202e\u200d\ufeffㅋ👍$reviewclaim{}＜＞\u2028", max_size=60) | st.text(
    max_size=60
)
NAMES = st.sampled_from(AspectName)
CLAIM = st.fixed_dictionaries(
    {
        "aspect": NAMES,
        "claim": st.sampled_from(("맛있다.", "친절하다.", "x")),
        "reviews": st.lists(st.integers(1, 6), max_size=16),
    }
)
ANSWER = st.fixed_dictionaries(
    {
        "overall_summary": st.just("전체."),
        "positive_aspects": st.lists(CLAIM, max_size=6),
        "negative_aspects": st.lists(CLAIM, max_size=6),
    }
)
TEXTS = st.lists(st.sampled_from(("맛있어요. 친절해요.", "별로예요", "", "  ", "👍")), min_size=1, max_size=6)


@given(COUNTS, COUNTS, COUNTS)
def test_percents_sum_to_100_and_are_off_by_less_than_one(positive: int, negative: int, neutral: int) -> None:
    """Or are all 0, where there is nothing."""
    percents, total = ratios(positive, negative, neutral), positive + negative + neutral
    assert sum(percents) == (100 if total else 0)
    for percent, count in zip(percents, (positive, negative, neutral), strict=True):
        assert abs(percent * total - 100 * count) < max(total, 1)


@given(st.lists(HOSTILE, min_size=1, max_size=16))
def test_no_review_closes_its_fence_or_passes_for_another(reviews: list[str]) -> None:
    """As many fences and numbered lines as reviews, whatever they hold."""
    body = render(Task(Kind.SUMMARY, "ko", tuple(reviews))).body
    assert body.count("<review>") == body.count("</review>") == len(reviews)
    numbered = [line for line in body.splitlines() if line.startswith("[")]
    assert [line.partition(" ")[0] for line in numbered] == [f"[{n}]" for n in range(1, len(reviews) + 1)]
    assert len(body.splitlines()) == len(render(Task(Kind.SUMMARY, "ko", ("x",) * len(reviews))).body.splitlines())


@given(HOSTILE)
def test_sentences_are_verbatim_short_and_seen(text: str) -> None:
    """And so is every quote."""
    for sentence in sentences(text):
        assert sentence in text
        assert 0 < len(sentence) <= MAX_QUOTE
        assert not any(character < " " or character in "\x7f\u202e\u2028" for character in sentence)
    said = quote("맛있다", AspectName.FOOD, text)
    assert said is None or said in text


@given(HOSTILE)
def test_tidy_text_stays_as_it_is(text: str) -> None:
    """One line, nothing left to take out."""
    once = tidy(text)
    assert tidy(once) == once
    assert len(once.splitlines()) <= 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 20) | st.sampled_from(("", "food", "맛있다.", "x" * 81, "y" * 301)),
    lambda inner: (
        st.lists(inner, max_size=7)
        | st.dictionaries(
            st.sampled_from(
                (
                    "overall_summary",
                    "positive_aspects",
                    "negative_aspects",
                    "aspect",
                    "claim",
                    "reviews",
                    "text",
                    "strengths",
                )
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
KEYS = {
    Kind.SUMMARY: ("overall_summary", "positive_aspects", "negative_aspects"),
    Kind.COMPARISON: ("comparison_summary",),
    Kind.STRENGTH: ("strengths", "strength_summary"),
}


def parse(kind: Kind, text: str) -> None:
    """By the kind's parser, with six reviews or claims."""
    if kind is Kind.SUMMARY:
        parse_summary(text, 6)
    elif kind is Kind.STRENGTH:
        parse_strength(text, 6)
    else:
        parse_comparison(text)


@settings(max_examples=300)
@given(st.data(), st.sampled_from(sorted(KEYS)))
def test_the_parser_takes_nothing_off_the_schema(data: st.DataObject, kind: Kind) -> None:
    """Whatever it takes, the schema takes; whatever the schema refuses, it refuses."""
    parts = JSON | st.lists(CLAIM, max_size=7) | st.just("전체.")
    document: Any = data.draw(st.fixed_dictionaries(dict.fromkeys(KEYS[kind], parts)) | JSON | ANSWER)
    text = json.dumps(document)
    taken = True
    try:
        parse(kind, text)
    except InvalidAnswer:
        taken = False
    valid = jsonschema.Draft202012Validator(answer_schema(kind)).is_valid(json.loads(text))
    assert not taken or valid


@given(st.text(max_size=40))
def test_what_is_not_json_is_an_invalid_answer(text: str) -> None:
    """Never another exception."""
    with pytest.raises(InvalidAnswer):
        parse_summary(text + "{", 3)


@dataclass(frozen=True)
class Review:
    """A review as the job read it."""

    review_id: str
    text: str


def read(texts: list[str], name: str) -> list[Review]:
    """Reviews with ids of their own."""
    return [Review(f"{name}{n}", text) for n, text in enumerate(texts)]


def parsed(document: dict[str, Any], texts: list[str]) -> SummaryAnswer:
    """Through the one parser."""
    return parse_summary(json.dumps(document), len(texts))


def counts(aspects: tuple[Aspect, ...]) -> dict[str, int]:
    """Supports by aspect."""
    return {aspect.aspect: aspect.support_count for aspect in aspects}


@given(ANSWER, TEXTS, ANSWER, TEXTS)
def test_merging_keeps_counts_and_taking_reviews_out_undoes_it(
    first: dict[str, Any], old: list[str], second: dict[str, Any], new: list[str]
) -> None:
    """Supports are exactly what the reviews are told to support; retracted one by one, the last summary is left."""
    last = merge((), (), parsed(first, old), read(old, "old"))
    merged = merge(last.positive, last.negative, parsed(second, new), read(new, "new"))
    for polarity, before, after in (
        ("positive", last.positive, merged.positive),
        ("negative", last.negative, merged.negative),
    ):
        added = [aspect for said in merged.supports.values() for side, aspect in said if side == polarity]
        assert counts(after) == {
            name: counts(before).get(name, 0) + added.count(name) for name in counts(before) | dict.fromkeys(added, 0)
        }
        left = after
        for review in read(new, "new"):
            state = ReviewState(review.review_id, None, 0, b"", supports=merged.supports.get(review.review_id, ()))
            left = without_review(left, polarity, state)
        assert counts(left) == counts(before)
        assert all(str(e.review_id).startswith("old") for aspect in left for e in aspect.evidence)


@given(ANSWER, TEXTS)
def test_quotes_are_verbatim_and_of_reviews_that_support_the_claim(document: dict[str, Any], texts: list[str]) -> None:
    """At most three; an aspect stands once a polarity."""
    reviews = read(texts, "r")
    merged = merge((), (), parsed(document, texts), reviews)
    said = {review.review_id: review.text for review in reviews}
    for polarity, aspects in (("positive", merged.positive), ("negative", merged.negative)):
        assert len(counts(aspects)) == len(aspects)
        for aspect in aspects:
            assert len(aspect.evidence) <= min(MAX_EVIDENCE, aspect.support_count)
            for evidence in aspect.evidence:
                assert evidence.quote in said[str(evidence.review_id)]
                assert (polarity, aspect.aspect) in merged.supports[str(evidence.review_id)]


LOGPROB = st.floats(-50, 0)


@given(
    st.dictionaries(st.sampled_from(Sentiment), LOGPROB, min_size=1),
    st.builds(Calibration, st.floats(0.01, 10), st.floats(-5, 5), st.none() | st.just(0.0) | st.floats(0.01, 5)),
)
def test_probabilities_are_probabilities(logprobs: dict[Sentiment, float], calibration: Calibration) -> None:
    """Each 0 to 1, together 1."""
    found = calibration.apply(logprobs).values()
    assert all(0 <= probability <= 1 for probability in found)
    assert sum(found) == pytest.approx(1.0)
