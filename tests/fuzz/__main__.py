"""`make fuzz`: so many records through codec and decode path. Whatever crashes, or takes without bound, ends it.

python -m tests.fuzz --inputs 1000000 --seed 1
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter

from tests.fuzz.path import run_piece

PIECE = 20_000


def main() -> int:
    """Run it on all cores; prints what came of the records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    pieces = [(chosen.seed + at, min(PIECE, chosen.inputs - at)) for at in range(0, chosen.inputs, PIECE)]
    outcomes: Counter[str] = Counter()
    slowest, began = 0.0, time.monotonic()
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        for found, longest in pool.imap_unordered(run_piece, pieces):
            outcomes += found
            slowest = max(slowest, longest)
            took = time.monotonic() - began
            print(f"{outcomes.total()} inputs, {took:.0f} s, the slowest {slowest * 1000:.1f} ms", flush=True)
    for outcome, times in outcomes.most_common():
        print(f"{times:>10}  {outcome}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
