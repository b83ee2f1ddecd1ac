"""The engine's worker is killed or stands still: what is in flight is told so, and a new engine works."""

import asyncio
import os
import signal
import time
from dataclasses import replace

import psutil
import pytest

from consumer.engines.contract import Answer
from consumer.engines.vllm.engine import VllmEngine
from consumer.errors import EngineDown
from tests.contract.engine_suite import BUDGET, REVIEWS, TASKS, Delivered, sentiment

STALL_SECONDS = 10.0
"""Far longer than a step takes here."""


def workers(engine: VllmEngine) -> list[psutil.Process]:
    """The processes that compute."""
    assert engine._processes is not None
    found = [process for process in engine._processes.look() if "Worker" in process.name()]
    assert found
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_invariant_6_a_dead_or_hung_engine_fails_what_is_in_flight_and_a_new_one_works(
    vllm: VllmEngine, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """Within the stall time; not ready meanwhile; nothing of the old process tree is left."""
    monkeypatch.setattr(vllm, "_rules", replace(vllm._rules, stall_seconds=STALL_SECONDS))
    batch = await vllm.prepare([task for task in TASKS if task.claims] * 20, BUDGET)
    run = asyncio.create_task(vllm.run(batch, Delivered()))
    await asyncio.sleep(3)
    assert not run.done()
    assert vllm._processes is not None
    tree = list(vllm._processes.look())
    for process in workers(vllm):
        os.kill(process.pid, number)
    struck = time.monotonic()
    with pytest.raises(EngineDown):
        async with asyncio.timeout(STALL_SECONDS + 60):
            await run
    if number is signal.SIGSTOP:
        assert time.monotonic() - struck >= STALL_SECONDS - 1, "it was not taken for hung too early"
    assert not vllm.health().ready
    assert vllm.health().reason
    with pytest.raises(EngineDown):
        await vllm.run(batch, Delivered())
    await vllm.stop()
    assert [p for p in tree if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
    monkeypatch.undo()
    await vllm.start()
    assert vllm.health().ready
    delivered = Delivered()
    await vllm.run(await vllm.prepare([sentiment(REVIEWS[0])], BUDGET), delivered)
    assert isinstance(delivered.outcomes[0], Answer)
