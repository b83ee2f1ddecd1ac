"""Figures of the simulator, by hand.

    python -m tests.benchmarks.simulator backlog --gpu 24gb --batches 10000
    python -m tests.benchmarks.simulator restaurants
    python -m tests.benchmarks.simulator priority

Everything is simulated.
"""

import argparse

from tests.benchmarks.simulator import experiments
from tests.benchmarks.simulator.hardware import GPUS

ITEMS_A_BATCH = {"24gb": 15, "40gb": 25, "80gb": 45}
"""A little more than a batch holds, by preset."""


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.simulator", description=__doc__)
    parser.add_argument("what", choices=["backlog", "restaurants", "priority"])
    parser.add_argument("--batches", type=int, default=1000, help="of the backlog on each GPU, at least")
    parser.add_argument("--gpu", choices=sorted(ITEMS_A_BATCH), help="the backlog on one alone, by its preset")
    options = parser.parse_args()
    {"backlog": _backlog, "restaurants": _restaurants, "priority": _priority}[options.what](options)


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


if __name__ == "__main__":
    main()
