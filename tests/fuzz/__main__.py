"""`make fuzz`: so many records through codec and decode path. Whatever crashes, or takes without bound, ends it.

python -m tests.fuzz --inputs 1000000 --seed 1
"""

import argparse
import sys
import time

from tests.fuzz.inputs import records
from tests.fuzz.path import Path

PIECE = 50_000


def main() -> int:
    """Run it; prints what came of the records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    path, began, done = Path(), time.monotonic(), 0
    while done < chosen.inputs:
        count = min(PIECE, chosen.inputs - done)
        path.run(records(chosen.seed + done, count))
        done += count
        print(f"{done} inputs, {time.monotonic() - began:.0f} s, the slowest {path.slowest * 1000:.1f} ms", flush=True)
    for outcome, times in path.outcomes.most_common():
        print(f"{times:>10}  {outcome}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
