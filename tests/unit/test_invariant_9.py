"""Invariant 9: no secret, and no review text above DEBUG, is written to a log."""

import io
import logging
import sys
from collections.abc import Iterator, Sequence

import pytest

from consumer.analysis.answers import parse_summary
from consumer.analysis.task import Kind, Task
from consumer.engines.contract import Answer, Deliver, Prepared
from consumer.errors import ConfigError
from consumer.hooks import logs
from consumer.hooks.events import Event, Hooks, What
from consumer.hooks.logs import log_listener
from consumer.settings import entries, load
from schemas.codec import Undecodable, decode_review, encode_document
from tests.integration.scripted import ScriptedEngine
from tests.unit.test_dispatch import Bench

TEXT = "아무도 몰라야 할 리뷰"
SECRET = "correct-horse-battery"


@pytest.fixture(params=["INFO", "DEBUG"])
def written(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, io.StringIO]]:
    """A level, and all that the process would write to standard error at it."""
    root, out = logging.getLogger(), io.StringIO()
    before, level = list(root.handlers), root.level
    monkeypatch.setattr(sys, "stderr", out)
    logs.configure("json", request.param)
    try:
        yield request.param, out
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        for name in logs.OWN_LOGGERS:
            logging.getLogger(name).setLevel(logging.NOTSET)


class Chatty(ScriptedEngine):
    """Its errors quote what it was asked, as libraries' do."""

    async def prepare(self, tasks: Sequence[Task], budget: int) -> list[Prepared]:
        """Chokes on one."""
        if any("choke" in task.reviews[0] for task in tasks):
            raise ValueError(f"cannot tokenise {tasks[0].reviews[0]}")
        return await super().prepare(tasks, budget)

    async def run(self, batch: Sequence[Prepared], deliver: Deliver) -> None:
        """Fails at one."""
        for prepared in batch:
            if "fail" in prepared.task.reviews[0]:
                text = prepared.task.reviews[0]
                raise RuntimeError(f"bad prompt: {text}") from KeyError(text)
        await super().run(batch, deliver)


async def test_review_text_is_written_at_debug_alone(written: tuple[str, io.StringIO]) -> None:
    """Whatever fails, and whatever its error quotes: the kind of error and its place are written, not the text."""
    level, out = written

    def bug(answer: Answer, prepared: Prepared) -> None:
        del answer
        raise LookupError(f"no such thing: {prepared.task.reviews[0]}")

    bench = Bench(Chatty())
    bench.dispatcher._hooks._listeners = (bench.events.append, log_listener(lambda: 0.0))
    async with bench.running():
        bench.ask(f"{TEXT} choke")
        bench.ask(f"{TEXT} fail")
        bench.ask(f"{TEXT} bug", bug)
        await bench.until(3)
    hooks = Hooks([log_listener(lambda: 0.0)])
    for value in _broken_reviews():
        with pytest.raises(Undecodable) as refused:
            decode_review(value)
        hooks(Event(What.DEAD_LETTER, "t", 0, reason=refused.value.reason, detail=str(refused.value)))
    for answer in _broken_answers():
        with pytest.raises(Exception, match=r".") as invalid:
            parse_summary(answer, 3)
        hooks(Event(What.JOB_FAILED, kind=Kind.SUMMARY, detail=str(invalid.value)))
    said = out.getvalue()
    for message in ("an item could not be prepared", "the engine failed a batch", "an answer could not be used"):
        assert message in said
    assert "RuntimeError" in said
    assert "test_invariant_9.py" in said
    assert "dead letter" in said
    assert (TEXT in said) == (level == "DEBUG")
    assert TEXT not in "".join(event.detail for event in bench.events if event.what is What.DEAD_LETTER)


def _broken_reviews() -> list[bytes]:
    """With the text in every place that a message might quote."""
    good = {"review_id": 1, "restaurant_id": 1, "content": TEXT}
    return [
        encode_document(good)[:-1],
        encode_document([TEXT]),
        encode_document(TEXT),
        encode_document(good | {"content": [TEXT]}),
        encode_document(good | {"review_id": {TEXT: TEXT}}),
        encode_document(good | {"review_id": TEXT * 30}),
        encode_document({TEXT: TEXT}),
    ]


def _broken_answers() -> list[str]:
    """What a model might say."""
    whole = {"overall_summary": TEXT, "positive_aspects": [], "negative_aspects": []}
    return [
        TEXT,
        encode_document(whole | {TEXT: 1}).decode(),
        encode_document(whole | {"overall_summary": TEXT * 50}).decode(),
        encode_document(whole | {"positive_aspects": [{"aspect": TEXT, "claim": TEXT, "reviews": [TEXT]}]}).decode(),
    ]


SECRETS = ("KAFKA_SASL_PASSWORD", "KAFKA_SASL_OAUTH_CLIENT_SECRET", "KAFKA_SSL_PASSWORD", "OPENAI_API_KEY")


def test_secrets_are_neither_shown_nor_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those in an address or in vLLM's arguments; the rest of these is shown."""
    for name in SECRETS:
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("OPENAI_BASE_URL", f"https://user:{SECRET}@host/v1")
    monkeypatch.setenv("OPENAI_MODEL", "m")
    monkeypatch.setenv("VLLM_ENGINE_ARGS", f'{{"hf_token": "{SECRET}", "max_model_len": 8192}}')
    settings = load()
    shown = {entry.variable: entry.value for entry in entries(settings)}
    assert SECRET not in str(shown)
    assert SECRET not in f"{settings.kafka!r} {settings.kafka.model_dump()}"
    assert shown["OPENAI_BASE_URL"] == "https://********@host/v1"
    assert "8192" in shown["VLLM_ENGINE_ARGS"]
    assert {shown[name] for name in SECRETS} == {"********"}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VLLM_ENGINE_ARGS", f'{{"hf_token": "{SECRET}", oops'),
        ("VLLM_ENGINE_ARGS", f'{{"api_key": "{SECRET}'),
        ("OPENAI_BASE_URL", f"ftp://user:{SECRET}@host"),
        ("KAFKA_SECURITY_PROTOCOL", f"SASL://user:{SECRET}@x"),
    ],
)
def test_a_wrong_value_is_named_without_its_secret(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """The variable is, and what is allowed."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=variable) as refused:
        load()
    assert SECRET not in str(refused.value)
