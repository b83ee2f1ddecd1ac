"""Measure the local model that ships: `python -m tests.benchmarks.local_model.evaluate --data DIR [--json]`."""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.metrics import f1_score

from consumer.engines.local.sentiment import SentimentModel
from tests.benchmarks.local_model.data import LABELS, NEGATIVE, NEUTRAL, POSITIVE, Row, held_out

Figures = dict[str, float]
Floats = npt.NDArray[np.float64]


def measure(model: SentimentModel, rows: Sequence[Row]) -> Figures:
    """What the model does on rows of one polarity, where a neutral answer is wrong, and how true its probabilities are.

    Calibration errors are the expected difference between a probability and how often it comes true, over ten bins:
    `polarity_error` of positive against negative on the polar rows, `label_error` of the label's on all rows.
    """
    logprobs = model.label_logprobs([row.text for row in rows])
    said = np.array([max(answer, key=answer.__getitem__) for answer in logprobs])
    truth = np.array([LABELS[row.label] for row in rows])
    polar = truth != LABELS[NEUTRAL]
    odds = np.array([answer["positive"] - answer["negative"] for answer in logprobs])
    right = said == truth
    names = [LABELS[POSITIVE], LABELS[NEGATIVE]]
    return {
        "polar_rows": int(polar.sum()),
        "positive_share": float(np.mean(truth[polar] == LABELS[POSITIVE])),
        "accuracy": float(right[polar].mean()),
        "macro_f1": float(f1_score(truth[polar], said[polar], labels=names, average="macro")),
        "neutral_answers": float(np.mean(said[polar] == LABELS[NEUTRAL])),
        "polarity_error": _calibration_error(1 / (1 + np.exp(-odds[polar])), truth[polar] == LABELS[POSITIVE]),
        "neutral_rows": int((~polar).sum()),
        "neutral_recall": float(right[~polar].mean()) if not polar.all() else 0.0,
        "label_error": _calibration_error(np.exp([max(answer.values()) for answer in logprobs]), right),
    }


def speed(model: SentimentModel, texts: Sequence[str], batch: int) -> float:
    """Texts a second, on one core, in calls of `batch` texts."""
    start = time.perf_counter()
    for at in range(0, len(texts), batch):
        model.label_logprobs(texts[at : at + batch])
    return len(texts) / (time.perf_counter() - start)


def _calibration_error(said: Floats, true: npt.NDArray[np.bool_]) -> float:
    bins = np.minimum((said * 10).astype(int), 9)
    parts = [bins == number for number in range(10)]
    return float(sum(part.mean() * abs(said[part].mean() - true[part].mean()) for part in parts if part.any()))


def main() -> None:
    """Print the figures of every held-out set, as a table or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder laid out as the README beside this file says")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    asked = parser.parse_args()
    model = SentimentModel.load()
    sets = held_out(asked.data)
    figures = {name: measure(model, rows) for name, rows in sets.items()}
    texts = [row.text for row in sets["NSMC, 100 movies"]]
    rates = {str(batch): speed(model, texts, batch) for batch in (1, 50)}
    if asked.json:
        found = {"model": f"{model.name} {model.version}", "sets": figures, "texts_per_second": rates}
        print(json.dumps(found, indent=2))
        return
    _print_table(model, figures, rates)


def _print_table(model: SentimentModel, figures: dict[str, Figures], rates: dict[str, float]) -> None:
    """One line a set, the columns as `measure` names them."""
    print(f"{model.name} {model.version}")
    names = list(next(iter(figures.values())))
    print(f"{'':28}" + "".join(f"{name:>16}" for name in names))
    for title, row in figures.items():
        print(f"{title:28}" + "".join(f"{row[name]:>16{'d' if name.endswith('rows') else '.3f'}}" for name in names))
    print("  ".join(f"{rate:,.0f} texts/s in calls of {batch}" for batch, rate in rates.items()))


if __name__ == "__main__":
    main()
