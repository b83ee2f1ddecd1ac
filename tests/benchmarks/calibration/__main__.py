"""Calibrate the chosen engine on half of each public set, and measure it on the other half.

    python -m tests.benchmarks.calibration --data DIR [--limit N]

`DIR` is laid out as ../local_model/README.md says; the engine is the one that `review-consumer run` would take. Each
set's sentences of one polarity are written to a file in a temporary folder, and `review-consumer calibrate` is run on
it: what is measured is the command. Of a set with more than N sentences the first N by a hash of their text are taken.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from consumer.analysis.calibration_file import CalibrationFile
from tests.benchmarks.local_model.data import LABELS, NEUTRAL, Row, held_out

SETS = ("M-ABSA restaurant, Korean", "M-ABSA restaurant, English", "NSMC, 100 movies")
COLUMNS = ("accuracy", "macro_f1", "auc", "calibration_error")


def polar(rows: Sequence[Row], limit: int) -> list[Row]:
    """At most `limit` rows of one polarity, the same each time."""
    return sorted((row for row in rows if row.label != NEUTRAL), key=lambda row: _draw(row.text))[:limit]


def measure(rows: Sequence[Row], folder: Path) -> CalibrationFile:
    """Run the command on the rows; what it wrote."""
    reviews, out = folder / "reviews.jsonl", folder / "calibration.json"
    lines = [json.dumps({"content": row.text, "label": LABELS[row.label]}) for row in rows if row.text.strip()]
    reviews.write_text("\n".join(lines), "utf-8")
    command = (sys.executable, "-m", "consumer.cli", "calibrate", str(reviews), "--out", str(out))
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ)
    return CalibrationFile.model_validate_json(out.read_bytes())


def main() -> None:
    """Print a line a set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder laid out as the local model's README says")
    parser.add_argument("--limit", type=int, default=2000, help="sentences of a set at most (default: 2000)")
    asked = parser.parse_args()
    sets = held_out(asked.data)
    for number, name in enumerate(SETS):
        with tempfile.TemporaryDirectory() as folder:
            made = measure(polar(sets[name], asked.limit), Path(folder))
        if not number:
            print(f"{made.engine} ({made.model}), prompt {made.prompt}")
            print(f"{'held out, before > after':28}{'reviews':>9}" + "".join(f"{column:>22}" for column in COLUMNS))
        _print(name, made)


def _print(name: str, made: CalibrationFile) -> None:
    before, after = made.held_out.before, made.held_out.after
    pairs = [f"{getattr(before, column):.3f} > {getattr(after, column):.3f}" for column in COLUMNS]
    print(f"{name:28}{after.reviews:>9}" + "".join(f"{pair:>22}" for pair in pairs), flush=True)


def _draw(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


if __name__ == "__main__":
    main()
