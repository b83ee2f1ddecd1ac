"""Figures of the simulator, by hand.

    python -m tests.benchmarks.simulator backlog --gpu 24gb --batches 10000
    python -m tests.benchmarks.simulator restaurants
    python -m tests.benchmarks.simulator priority

Everything is simulated there. What a step costs on a machine at hand, and how well that predicts:

    python -m tests.benchmarks.simulator record --model DIR   # a real vLLM; in the environment of `make test-llm`
    python -m tests.benchmarks.simulator fit
    python -m tests.benchmarks.simulator predict
"""

import argparse
from pathlib import Path

from tests.benchmarks.simulator import experiments, fitting, runs
from tests.benchmarks.simulator.hardware import GPUS

ITEMS_A_BATCH = {"24gb": 15, "40gb": 25, "80gb": 45}
"""A little more than a batch holds, by preset."""


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.simulator", description=__doc__)
    parser.add_argument("what", choices=["backlog", "restaurants", "priority", "record", "fit", "predict"])
    parser.add_argument("--batches", type=int, default=1000, help="of the backlog on each GPU, at least")
    parser.add_argument("--gpu", choices=sorted(ITEMS_A_BATCH), help="the backlog on one alone, by its preset")
    parser.add_argument("--model", type=Path, help="record: folder of the model's weights")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="record: these plans alone")
    parser.add_argument("--into", type=Path, default=runs.RECORDED, help="record: the folder of the runs")
    options = parser.parse_args()
    asked = {"backlog": _backlog, "restaurants": _restaurants, "priority": _priority}
    {**asked, "record": _record, "fit": _fit, "predict": _predict}[options.what](options)


def _backlog(options: argparse.Namespace) -> None:
    print("| GPU | | batches | reviews | busy | preempted | KV demand | KV of all inside |")
    for gpu in (gpu for gpu in GPUS if options.gpu in (None, gpu.preset)):
        count = options.batches * ITEMS_A_BATCH[gpu.preset]
        ours = experiments.backlog(gpu, count, summaries=False)
        fixed = experiments.fixed_batches(gpu, options.batches * experiments.OLD_BATCH)
        mixed = experiments.backlog(gpu, count // 10, summaries=True)
        for name, one in (("labels", ours), ("labels, fixed batches of 50", fixed), ("labels and summaries", mixed)):
            print(
                f"| {one.gpu} | {name} | {one.batches} | {one.answered} | {one.busy:.3f} | {one.preempted:.3%} "
                f"| {one.demand:.2f} | {one.held:.2f} |",
                flush=True,
            )


def _restaurants(_: argparse.Namespace) -> None:
    print("| GPU | restaurants | one after another | at once | time cut | requests/s |")
    for gpu in GPUS:
        for one in experiments.restaurants(gpu, (1, 10, 50, 100)):
            print(
                f"| {gpu.name} | {one.count} | {one.one_by_one:.0f} s | {one.ours:.0f} s | {one.cut:.0%} "
                f"| {one.speed:.1f} times |",
                flush=True,
            )


def _priority(_: argparse.Namespace) -> None:
    for gpu in GPUS:
        flood = experiments.flood(gpu, 10_000)
        starved = experiments.starvation(gpu, 100, 120.0)
        print(f"{gpu.name}: {flood}; {starved}", flush=True)


def _record(options: argparse.Namespace) -> None:
    from tests.benchmarks.simulator.plans import PLANS  # noqa: PLC0415 - needs what only its environment has
    from tests.benchmarks.simulator.recording import record  # noqa: PLC0415 - as above

    record(options.model, [plan for plan in PLANS if plan.name in (options.only or [plan.name])], options.into)


def _fit(_: argparse.Namespace) -> None:
    """Write the costs."""
    fitted = [run for run in runs.recorded() if run.about["fitted"]]
    costs = fitting.fit(fitted)
    fitting.save(costs, fitted)
    print(costs)


def _predict(_: argparse.Namespace) -> None:
    costs = fitting.load()
    print("| run | steps | real | predicted | | preempted, real | predicted | no KV blocks | no preemption |")
    print("|---" * 9 + "|")
    for run in runs.recorded():
        whole = fitting.predict(run, costs)
        ablated = fitting.predict(run, costs, blocks=False), fitting.predict(run, costs, reserving=True)
        print(
            f"| {run.about['name']} | {len(run.steps)} | {run.seconds:.1f} s | {whole.seconds:.1f} s "
            f"| {whole.error(run):+.1%} | {run.preemptions} | {whole.preemptions} | "
            + " | ".join(f"{one.error(run):+.1%}" for one in ablated)
            + " |"
        )


if __name__ == "__main__":
    main()
