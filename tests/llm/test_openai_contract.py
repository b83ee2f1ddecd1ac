"""`openai` keeps the engine contract, against a real vLLM server."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from consumer.analysis.task import Kind, Task
from consumer.engines.contract import Answer, Engine
from consumer.engines.openai.engine import OpenAIEngine, OpenAIRules
from consumer.engines.openai.requests import Form, Labels
from schemas.base import Sentiment
from tests.contract.engine_suite import REVIEWS, TASKS, EngineSuite, sentiment
from tests.llm.conftest import BUDGET
from tests.llm.server import MODEL, vllm_server


@pytest.fixture(scope="module")
def server(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a server that lives as long as this module's tests; LLM_SERVER_URL: of one that runs already."""
    if url := os.environ.get("LLM_SERVER_URL"):
        yield url
        return
    with vllm_server(model_dir, tmp_path_factory.mktemp("server") / "log") as url:
        yield url


def made(url: str, tokenizer: Path | None = None) -> OpenAIEngine:
    """Not started."""
    rules = OpenAIRules(
        base_url=url,
        api_key=None,
        model=MODEL,
        tokenizer=str(tokenizer) if tokenizer else None,
        budget=BUDGET,
        timeout=300,
        connections=64,
    )
    return OpenAIEngine(rules)


class TestOpenAIEngine(EngineSuite):
    """Everything that every engine promises."""

    budget, restarts, asked_again = BUDGET, 1, TASKS[:1]
    grounded = False
    long_task = Task(Kind.COMPARISON, "ko", claims=EngineSuite.long_task.claims)

    @pytest.fixture
    async def engine(self, server: str, model_dir: Path) -> AsyncIterator[Engine]:
        """With the model's own tokenizer."""
        engine = made(server, model_dir)
        await engine.start()
        yield engine
        await engine.stop()

    def make(self) -> Engine:
        """One that is never started."""
        return made("http://127.0.0.1:9/v1")


async def test_what_the_server_can_is_found_out(server: str) -> None:
    """A base model: completions; the labels' own tokens; strict JSON; priorities; load. Tokens are estimated here."""
    engine = made(server)
    await engine.start()
    assert engine._server is not None
    can = engine._server.can
    assert (can.chats, can.labels, can.form, can.priority) == (False, Labels.IDS, Form.STRICT, True)
    assert set(can.label_ids or ()) == set(Sentiment)
    load = engine.load()
    assert load is None or (load.running, load.waiting, load.preemptions) == (0, 0, 0)
    (prepared,) = await engine.prepare([sentiment(REVIEWS[0])], BUDGET)
    assert prepared.prefix_tokens % 32 == 0
    assert prepared.prefix_tokens
    found: dict[int, object] = {}
    await engine.run([prepared], found.__setitem__)
    answer = found[0]
    assert isinstance(answer, Answer)
    estimated = prepared.prefix_tokens + prepared.own_tokens
    assert answer.prompt_tokens / 2 < estimated < answer.prompt_tokens * 2
    await engine.stop()
