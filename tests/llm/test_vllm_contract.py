"""`vllm` keeps the engine contract."""

import pytest

from consumer.analysis.task import Kind, Task
from consumer.engines.contract import Engine
from consumer.engines.vllm.engine import VllmEngine, VllmRules
from tests.contract.engine_suite import TASKS, EngineSuite
from tests.llm.conftest import BUDGET


class TestVllmEngine(EngineSuite):
    """Everything that every engine promises."""

    budget, restarts, asked_again = BUDGET, 1, TASKS[:1]
    grounded = False
    long_task = Task(Kind.COMPARISON, "ko", claims=EngineSuite.long_task.claims)

    @pytest.fixture
    async def engine(self, vllm: VllmEngine) -> Engine:
        """The session's."""
        return vllm

    def make(self) -> Engine:
        """One that is never started."""
        return VllmEngine(VllmRules("somewhere", {}, 4000, 60))
