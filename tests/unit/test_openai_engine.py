"""`openai` against a server that refuses, fails and lacks things. A real vLLM server: tests/llm."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from consumer.analysis.task import Kind, Task
from consumer.engines.contract import Answer, Fault
from consumer.engines.openai.engine import OpenAIEngine, OpenAIRules
from consumer.engines.openai.wire import retry_after
from consumer.errors import ConfigError, DeadLetter, EngineDown, EngineUnavailable, RetryLater
from schemas.base import Sentiment
from tests.unit.openai_server import Reply, Script, Server, refused, said, serving

GOOD, BAD = Task(Kind.SENTIMENT, "en", ("fine",)), Task(Kind.SENTIMENT, "en", ("MARKED",))


def rules(url: str, **changed: Any) -> OpenAIRules:
    """For a server of the test's own."""
    usual = {"api_key": None, "model": "gemma", "tokenizer": None, "budget": 4000, "timeout": 5.0, "connections": 8}
    return OpenAIRules(base_url=url, **(usual | changed))


@asynccontextmanager
async def running(script: Script, **changed: Any) -> AsyncIterator[tuple[OpenAIEngine, Server]]:
    """An engine that has started on a server with this script."""
    with serving(script) as server:
        engine = OpenAIEngine(rules(server.url, **changed))
        try:
            await engine.start()
            yield engine, server
        finally:
            await engine.stop()


async def ask(engine: OpenAIEngine, *tasks: Task) -> dict[int, Answer | Fault]:
    """Prepare and run as one batch."""
    found: dict[int, Answer | Fault] = {}
    await engine.run(await engine.prepare(tasks, 4000), found.__setitem__)
    return found


def plain(path: str, body: Mapping[str, Any]) -> Reply:
    """A server that knows chat and nothing beyond it."""
    if path != "/v1/chat/completions":
        return refused(404)
    extras = {"logprobs", "response_format", "chat_template_kwargs", "priority"} & set(body)
    return refused(400, f"unknown: {sorted(extras)}") if extras else said("Negative.")


def marked(body: Mapping[str, Any]) -> bool:
    """Whether the one review is in the prompt."""
    return "MARKED" in str(body)


async def test_a_server_that_gives_no_log_probabilities_gives_the_label_alone() -> None:
    """And nothing is sent that it does not know."""
    async with running(plain) as (engine, server):
        (answer,) = (await ask(engine, GOOD)).values()
        assert isinstance(answer, Answer)
        assert (answer.label, answer.label_logprobs) == (Sentiment.NEGATIVE, None)
        assert set(server.asked[-1][1]) == {"model", "messages", "temperature", "max_tokens"}
        assert engine.load() is None


async def test_the_most_probable_tokens_give_the_labels_where_there_are_some() -> None:
    """Labels that are not among them are absent; of two forms of one the likelier counts."""

    def script(path: str, body: Mapping[str, Any]) -> Reply:
        if "logprobs" not in body:
            return plain(path, body)
        tops = [("positive", -0.1), (" positive", -4.0), ("neutral", -3.0), ("great", -5.0)]
        found = [{"token": token, "logprob": value} for token, value in tops]
        return said("positive", logprobs={"content": [{"token": "positive", "top_logprobs": found}]})

    async with running(script) as (engine, _):
        (answer,) = (await ask(engine, GOOD)).values()
        assert isinstance(answer, Answer)
        assert answer.label_logprobs == {Sentiment.POSITIVE: -0.1, Sentiment.NEUTRAL: -3.0}


@pytest.mark.parametrize(
    ("status", "fault", "reason"),
    [(400, DeadLetter, "engine_error"), (422, DeadLetter, "engine_error"), (500, RetryLater, "engine_error")],
)
async def test_one_items_error_is_that_items(status: int, fault: type[Exception], reason: str) -> None:
    """And its message holds nothing of the review, which the server may quote."""

    def script(path: str, body: Mapping[str, Any]) -> Reply:
        return refused(status, f"cannot read {body}") if marked(body) else plain(path, body)

    async with running(script) as (engine, _):
        found = await ask(engine, GOOD, BAD, GOOD)
        assert isinstance(found[0], Answer)
        assert isinstance(found[2], Answer)
        assert isinstance(found[1], fault)
        assert getattr(found[1], "reason", "") == reason
        assert "MARKED" not in str(found[1])
        assert engine.health().ready


@pytest.mark.parametrize("status", [401, 404, 429, 502, 503])
async def test_a_refusal_of_everything_is_nobodys_fault(status: int) -> None:
    """What had an answer is delivered; the rest waits, as long as the server asks for."""

    def script(path: str, body: Mapping[str, Any]) -> Reply:
        return refused(status, headers={"retry-after": "7"}) if marked(body) else plain(path, body)

    async with running(script, connections=1) as (engine, server):
        batch = await engine.prepare([GOOD, BAD, GOOD, GOOD], 4000)
        found: dict[int, Answer | Fault] = {}
        before = len(server.asked)
        with pytest.raises(EngineUnavailable) as refusal:
            await engine.run(batch, found.__setitem__)
        assert refusal.value.retry_after == (7.0 if status in (429, 502, 503) else None)
        assert set(found) == {0}
        assert len(server.asked) == before + 2, "nothing more was sent after the refusal"
        assert not engine.health().ready


async def test_a_server_that_went_away_is_unavailable_and_can_come_back() -> None:
    """A new start finds it again."""
    async with running(plain) as (engine, _):
        batch = await engine.prepare([GOOD], 4000)
    with pytest.raises(EngineDown, match="stopped"):
        await engine.run(batch, lambda _index, _outcome: None)
    with serving(plain) as gone:
        pass
    engine = OpenAIEngine(rules(gone.url))
    with pytest.raises(EngineUnavailable, match="cannot be reached"):
        await engine.start()
    assert "cannot be reached" in engine.health().reason
    await engine.stop()


@pytest.mark.parametrize(
    ("changed", "reply", "match"),
    [
        ({"model": "other"}, None, r"OPENAI_MODEL='other' is not served by .*; it has gemma"),
        ({}, refused(401, "bad key"), r"status 401 \(bad key\): check OPENAI_API_KEY"),
        ({}, refused(404), r"neither chat/completions nor completions answers for OPENAI_MODEL='gemma'"),
        ({}, refused(400, "no chat template"), "no chat template"),
        ({"budget": 1000}, None, "VLLM_MAX_TOKENS_PER_BATCH of 1000 tokens is too small: a summary takes"),
        ({"tokenizer": "/nowhere/tokenizer.json"}, None, r"TOKENIZER='/nowhere/tokenizer.json' cannot be loaded"),
    ],
)
async def test_what_a_person_must_change_stops_the_start(
    changed: dict[str, Any], reply: Reply | None, match: str
) -> None:
    """With what is wrong, where, and what is allowed."""
    with pytest.raises(ConfigError, match=match):
        async with running(lambda path, body: reply or plain(path, body), **changed):
            pass


async def test_a_prompt_that_the_server_finds_too_long_is_cut_and_marked() -> None:
    """Estimates of tokens may be far off; the item is answered all the same."""

    def script(path: str, body: Mapping[str, Any]) -> Reply:
        if len(str(body)) > 5000:
            return refused(400, "This model's maximum context length is 2048 tokens")
        return plain(path, body)

    async with running(script) as (engine, _):
        found = await ask(engine, GOOD, Task(Kind.SENTIMENT, "en", ("so good " * 1000,)))
        assert [(type(a), getattr(a, "truncated", None)) for _, a in sorted(found.items())] == [
            (Answer, False),
            (Answer, True),
        ]


async def test_silence_is_one_items_time_out() -> None:
    """Its neighbours are answered."""

    def script(path: str, body: Mapping[str, Any]) -> Reply:
        if marked(body):
            time.sleep(1.5)
        return plain(path, body)

    async with running(script, timeout=0.75) as (engine, _):
        found = await ask(engine, GOOD, BAD)
    assert isinstance(found[0], Answer)
    assert isinstance(found[1], RetryLater)
    assert found[1].reason == "engine_timeout"


@pytest.mark.parametrize("document", [{}, {"choices": []}, {"choices": [{"message": None}]}])
async def test_an_answer_off_its_form_is_tried_again(document: Mapping[str, Any]) -> None:
    """Never a crash, never a label."""

    def script(path: str, body: Mapping[str, Any]) -> Reply:
        return (200, document, {}) if marked(body) else plain(path, body)

    async with running(script) as (engine, _):
        (fault,) = (await ask(engine, BAD)).values()
        assert isinstance(fault, RetryLater)
        assert fault.reason == "invalid_answer"


def test_the_wait_that_a_server_asks_for() -> None:
    """In milliseconds, seconds, or until a date; nonsense is none."""
    now = 1_792_000_000.0
    assert retry_after({"retry-after-ms": "1500", "retry-after": "9"}, now) == 1.5
    assert retry_after({"retry-after": "9"}, now) == 9
    assert retry_after({"retry-after": "Wed, 14 Oct 2026 17:46:50 GMT"}, now) == 10
    assert retry_after({"retry-after": "soon"}, now) is None
    assert retry_after({}, now) is None


async def test_the_trace_of_who_asks_goes_to_the_server() -> None:
    """So that its own spans are in the review's trace; what has none sends none."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with running(plain) as (engine, server):
        batch = await engine.prepare([GOOD, GOOD], 4000)
        server.traces.clear()
        await engine.run([replace(batch[0], trace=trace), batch[1]], lambda _index, _outcome: None)
        assert sorted(server.traces, key=str) == [trace, None]
