"""The answers' schemas and their strict parser."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from consumer.analysis.answers import (
    MAX_ASPECTS,
    MAX_CLAIM,
    MAX_CLAIMS,
    MAX_PARAGRAPH,
    MAX_REVIEWS,
    InvalidAnswer,
    answer_schema,
    longest_answer,
    parse_comparison,
    parse_strength,
    parse_summary,
)
from consumer.analysis.task import Kind
from consumer.errors import RetryLater

KINDS = (Kind.SUMMARY, Kind.COMPARISON, Kind.STRENGTH)


def summary(**changes: object) -> dict[str, Any]:
    """A valid summary answer with one claim, some of it changed."""
    claim = {"aspect": "food", "claim": "고기가 맛있다.", "reviews": [2, 1, 2]}
    return {"overall_summary": "좋습니다.", "positive_aspects": [claim], "negative_aspects": [], **changes}


def claim(**changes: object) -> dict[str, Any]:
    """A valid claim, some of it changed."""
    return {"aspect": "food", "claim": "맛있다.", "reviews": [1], **changes}


def longest(schema: dict[str, Any], definitions: dict[str, Any]) -> Any:
    """The longest document that a schema allows."""
    if "$ref" in schema:
        return longest(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "enum" in schema:
        return max(schema["enum"], key=len)
    if schema["type"] == "object":
        return {name: longest(part, definitions) for name, part in schema["properties"].items()}
    if schema["type"] == "array":
        return [longest(schema["items"], definitions)] * schema["maxItems"]
    return "x" * schema["maxLength"] if schema["type"] == "string" else schema["maximum"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_schema_is_bounded_and_its_longest_answer_is_as_long_as_promised(kind: Kind) -> None:
    """An unbounded string or array would make `longest` fail; engines derive their output tokens from the length."""
    schema = answer_schema(kind)
    Draft202012Validator.check_schema(schema)
    document = longest(schema, schema.get("$defs", {}))
    Draft202012Validator(schema).validate(document)
    text = json.dumps(document, separators=(",", ":"))
    assert len(text) == longest_answer(kind)
    if kind is Kind.SUMMARY:
        assert parse_summary(text, MAX_REVIEWS).uncited == 0
    elif kind is Kind.COMPARISON:
        assert len(parse_comparison(text)) == MAX_PARAGRAPH
    else:
        assert parse_strength(text, MAX_CLAIMS).lines


@pytest.mark.parametrize("kind", KINDS)
def test_no_object_takes_what_it_does_not_know(kind: Kind) -> None:
    """`additionalProperties` is false, and every property is required."""
    schema = answer_schema(kind)
    for part in (schema, *(d for d in schema.get("$defs", {}).values() if d["type"] == "object")):
        assert part["additionalProperties"] is False
        assert set(part["required"]) == set(part["properties"])


def test_citations_are_folded_and_bounded_by_the_reviews_there_are() -> None:
    """Numbers of no review are dropped; a claim left without any is dropped and counted."""
    answer = parse_summary(json.dumps(summary(negative_aspects=[claim(reviews=[3, 4]), claim(reviews=[])])), 2)
    assert [found.reviews for found in answer.positive] == [(1, 2)]
    assert answer.negative == ()
    assert answer.uncited == 2


@pytest.mark.parametrize(
    "bad",
    [
        None,
        "",
        "null",
        "[]",
        '{"overall_summary": "cut o',
        "```json\n{}\n```",
        json.dumps(summary()) + " thanks!",
        json.dumps(summary(extra="x")),
        json.dumps({k: v for k, v in summary().items() if k != "negative_aspects"}),
        json.dumps(summary(overall_summary="")),
        json.dumps(summary(overall_summary=" \u200b ")),
        json.dumps(summary(overall_summary=7)),
        json.dumps(summary(overall_summary="x" * (MAX_PARAGRAPH + 1))),
        json.dumps(summary(positive_aspects=None)),
        json.dumps(summary(positive_aspects=[claim()] * (MAX_ASPECTS + 1))),
        json.dumps(summary(positive_aspects=[claim(aspect="taste")])),
        json.dumps(summary(positive_aspects=[claim(claim="x" * (MAX_CLAIM + 1))])),
        json.dumps(summary(positive_aspects=[claim(reviews=[0])])),
        json.dumps(summary(positive_aspects=[claim(reviews=[17])])),
        json.dumps(summary(positive_aspects=[claim(reviews=["1"])])),
        json.dumps(summary(positive_aspects=[claim(reviews=[1.0])])),
        json.dumps(summary(positive_aspects=[claim(reviews=[True])])),
        json.dumps(summary(positive_aspects=[claim(quote="x")])),
    ],
)
def test_what_is_off_the_schema_is_refused_and_worth_another_try(bad: str | None) -> None:
    """Nothing is repaired by guess."""
    with pytest.raises(InvalidAnswer) as caught:
        parse_summary(bad, 2)
    assert isinstance(caught.value, RetryLater)


def test_a_refusal_quotes_nothing_of_the_answer() -> None:
    """It is logged, and reviews are not."""
    leaking = summary(positive_aspects=[claim(claim=["비밀"], 비밀="비밀", aspect="비밀")], 비밀="x")
    with pytest.raises(InvalidAnswer) as caught:
        parse_summary(json.dumps(leaking, ensure_ascii=False), 2)
    assert "비밀" not in str(caught.value)
    assert "positive_aspects.0.claim" in str(caught.value)


def test_strengths_name_each_claim_once() -> None:
    """A number of no claim, or a second time the same, is dropped and counted."""
    lines = [{"claim": n, "text": f"{n}."} for n in (2, 1, 2, 3)]
    answer = parse_strength(json.dumps({"strengths": lines, "strength_summary": "좋다."}), 2)
    assert [line.claim for line in answer.lines] == [2, 1]
    assert answer.uncited == 2


def test_texts_are_one_line_of_seen_characters() -> None:
    """They are shown to people, and come back in the next prompt."""
    assert parse_comparison('{"comparison_summary": "맛\\u202e이\\n좋다."}') == "맛이 좋다."
