"""Train the local model's weights: `python -m tests.benchmarks.local_model.train --data DIR [--out FOLDER]`.

Settings are fitted by cross-validation on training rows; the held-out sets are measured at the end of a run, to be
written into the provenance. The same data and library versions give the same weights, byte for byte.
"""

import argparse
import datetime as dt
import hashlib
import io
import json
from importlib import metadata
from pathlib import Path

import numpy as np

from consumer.engines.local import features, sentiment
from tests.benchmarks.local_model import data, fitting
from tests.benchmarks.local_model.evaluate import measure

STRENGTHS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
"""Inverse regularisation strengths to choose from."""
SHIPPED = Path(sentiment.__file__).parent
SOURCES = [
    {
        "name": "NSMC (binary_5000, rating_3000)",
        "from": "github.com/e9t/nsmc at cc0670e872d4ac27bfe36c87456783004b39ef6c",
        "licence": "CC0 1.0",
    },
    {
        "name": "M-ABSA restaurant and food, Korean and English, train and dev",
        "from": "github.com/swaggy66/M-ABSA at cb3121a91b23bde670762f1d7a57d3f5f0c6bbbb",
        "licence": "Apache-2.0 by its dataset card; the English restaurant sentences are SemEval-2016's, whose text is"
        " for research only: no text is shipped, only weights derived from it",
    },
    {
        "name": "restaurant_phrases.tsv",
        "from": "written and labelled by hand for this project, tests/benchmarks/local_model",
        "licence": "Apache-2.0",
    },
]


def choose_strength(design: fitting.Design) -> tuple[float, fitting.Floats]:
    """The strength with the best mean accuracy on the held-out folds of the target sources, and its scores."""
    best, best_mean, best_scores = 0.0, 0.0, np.empty(0)
    for strength in STRENGTHS:
        scores = fitting.out_of_fold(design, strength)
        each = fitting.accuracies(design, scores)
        print(f"strength {strength:>4}: " + "  ".join(f"{part:.4f}" for part in each), flush=True)
        if np.mean(each) > best_mean:
            best, best_mean, best_scores = strength, float(np.mean(each)), scores
    return best, best_scores


def quantise(design: fitting.Design, strength: float) -> tuple[sentiment.Table, float]:
    """Weights from all rows as int8, those that round to 0 left out, and the size of one step."""
    weights = fitting.fit(design, np.ones(design.labels.size, np.bool_), strength) * design.values
    scale = float(np.abs(weights).max() / 127)
    steps = np.round(weights / scale).astype(np.int8)
    return sentiment.Table(design.keys[steps != 0], steps[steps != 0]), scale


def packed(table: sentiment.Table) -> bytes:
    """The weights file: no pickles, no time stamps."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, keys=table.keys, weights=table.weights)
    return buffer.getvalue()


def provenance(folder: Path, design: fitting.Design, strength: float, date: str) -> dict[str, object]:
    """What the weights were made from, and how."""
    sources, counts = np.unique(design.sources, return_counts=True)
    return {
        "model": sentiment.NAME,
        "date": date,
        "script": "python -m tests.benchmarks.local_model.train",
        "sources": SOURCES,
        "rows": dict(zip(sources.tolist(), counts.tolist(), strict=True)),
        "inputs_sha256": {
            (str(path.relative_to(folder)) if path.is_relative_to(folder) else path.name): _sha256(path.read_bytes())
            for path in data.inputs(folder)
        },
        "never_trained_on": "M-ABSA test rows of either language, NSMC's 100 movies, KoBEST SentiNeg; a training row"
        " whose text is also in one of them is left out",
        "settings": {
            "strength": strength,
            "folds": fitting.FOLDS,
            "seed": 0,
            "rarity_power": fitting.RARITY_POWER,
            "phrase_weight": fitting.PHRASE_WEIGHT,
            "neutral_phrase_weight": fitting.NEUTRAL_PHRASE_WEIGHT,
            "untokenised_weight": fitting.UNTOKENISED_WEIGHT,
            "margin_cost": fitting.MARGIN_COST,
        },
        "libraries": {name: metadata.version(name) for name in ("numpy", "scipy", "scikit-learn")},
    }


def main() -> None:
    """Train, write both files, and print what was chosen and measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder laid out as the README beside this file says")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="folder to write the two files to")
    asked = parser.parse_args()
    design = fitting.design(data.training(asked.data))
    strength, scores = choose_strength(design)
    calibration = fitting.calibrate(design, scores)
    table, scale = quantise(design, strength)
    weights = packed(table)
    digest = _sha256(weights)
    read = {"version": f"1-{digest[:8]}", "features": features.VERSION, "sha256": digest, "scale": scale}
    read["calibration"] = calibration.model_dump()
    model = sentiment.SentimentModel.from_bytes(json.dumps(read).encode(), weights)
    date = dt.datetime.now(tz=dt.UTC).date().isoformat()
    about = read | {"ngrams": table.keys.size} | provenance(asked.data, design, strength, date)
    about["cross_validated_accuracy"] = _cross_validated(design, scores, calibration)
    about["measured"] = _measured(model, asked.data)
    (asked.out / sentiment.WEIGHTS_FILE).write_bytes(weights)
    (asked.out / sentiment.PROVENANCE_FILE).write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    print(json.dumps(about, indent=2, ensure_ascii=False), f"\n{len(weights):,} bytes of weights")


def _cross_validated(
    design: fitting.Design, scores: fitting.Floats, calibration: sentiment.Calibration
) -> dict[str, float]:
    logits = calibration.slope * scores + calibration.bias
    found = fitting.accuracies(design, logits, calibration.margin)
    return {name: round(value, 4) for name, value in zip(fitting.TARGETS, found, strict=True)}


def _measured(model: sentiment.SentimentModel, folder: Path) -> dict[str, dict[str, float]]:
    sets = {name: measure(model, rows) for name, rows in data.held_out(folder).items()}
    return {name: {key: round(value, 4) for key, value in figures.items()} for name, figures in sets.items()}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    main()
