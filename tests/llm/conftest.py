"""What the tests with a real vLLM can ask for: one engine a session, on Gemma 3 270M."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from consumer.engines.vllm.engine import VllmEngine, VllmRules
from tests.llm.server import ARGS

pytest_plugins = ["tests.kafka_broker"]

MODEL = Path(os.environ.get("LLM_MODEL_DIR", ".cache/gemma-3-270m"))
WHOLE = "LLM_WHOLE" in os.environ
"""Whether the long tests take all that they can take, by hand: minutes more each."""
BUDGET = 2500
STALL_SECONDS = 40.0


@pytest.fixture(scope="session", autouse=True)
def _environment() -> None:
    """Nothing is fetched, and two engines fit the machine."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "WARNING"}


@pytest.fixture(scope="session")
def model_dir() -> Path:
    """The weights, made by `make test-llm`."""
    if not MODEL.is_dir():
        pytest.fail(f"{MODEL} is not there: run `make test-llm`")
    return MODEL.resolve()


@pytest.fixture(scope="session")
async def session_vllm(model_dir: Path) -> AsyncIterator[VllmEngine]:
    """The session's engine, started when first asked for. Whoever stops it leaves that to `vllm` to mend."""
    engine = VllmEngine(VllmRules(str(model_dir), ARGS, BUDGET, STALL_SECONDS))
    yield engine
    await engine.stop()


@pytest.fixture
async def vllm(session_vllm: VllmEngine) -> VllmEngine:
    """The session's engine, ready; started anew where a test before has ended it."""
    if not session_vllm.health().ready:
        await session_vllm.stop()
        await session_vllm.start()
    return session_vllm
