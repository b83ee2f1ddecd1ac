"""The labelled texts the local model is trained and measured on, read from a folder laid out as the README says."""

import csv
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LABELS = {1: "positive", 0: "negative", 2: "neutral"}
POSITIVE, NEGATIVE, NEUTRAL = 1, 0, 2

PHRASES = Path(__file__).with_name("restaurant_phrases.tsv")
_POLARITY = re.compile(r"(positive|negative|neutral)['\"]\s*\]")
"""By pattern: some of M-ABSA's label lists are no Python literals."""


@dataclass(frozen=True, slots=True)
class Row:
    """One text with its label."""

    text: str
    label: int
    """POSITIVE, NEGATIVE or NEUTRAL (which stands for mixed opinions too)."""
    source: str
    group: str
    """Rows of one group share a fold: translations, and rewritings, of one sentence."""


def training(folder: Path) -> list[Row]:
    """All rows that may be trained on; a text that is also in a held-out set is left out."""
    unseen = {row.text for row in _never_trained_on(folder)}
    rows = [row for source in _sources(folder) for row in source if row.text not in unseen]
    return [*rows, *_untokenised(rows)]


def held_out(folder: Path) -> dict[str, list[Row]]:
    """The sets to measure on, by name, neutral and mixed rows among them."""
    return {
        "M-ABSA restaurant, Korean": absa(folder, "restaurant", "ko", "test"),
        "M-ABSA restaurant, English": absa(folder, "restaurant", "en", "test"),
        "NSMC, 100 movies": movies(folder),
        "KoBEST SentiNeg, Korean": kobest(folder),
        "M-ABSA food, Korean": absa(folder, "food", "ko", "test"),
        "M-ABSA food, English": absa(folder, "food", "en", "test"),
    }


def inputs(folder: Path) -> list[Path]:
    """The files that training reads, for the provenance."""
    parts = [f"m_absa/{domain}/{language}/{split}.txt" for domain, language, split in _splits()]
    return [
        *(folder / part for part in parts),
        folder / "nsmc/binary_5000.tsv",
        folder / "nsmc/rating_3000.tsv",
        PHRASES,
    ]


def absa(folder: Path, domain: str, language: str, split: str) -> list[Row]:
    """M-ABSA sentences that name an aspect: of one polarity, or NEUTRAL if of several, or of none."""
    path = folder / "m_absa" / domain / language / f"{split}.txt"
    with path.open(encoding="utf-8") as lines:
        split_lines = [line.partition("####") for line in lines]
    found = [set(_POLARITY.findall(labels)) for _, _, labels in split_lines]
    return [
        Row(text, _label(polarities), f"m_absa/{domain}/{language}", f"{domain}/{split}/{number}")
        for number, ((text, _, _), polarities) in enumerate(zip(split_lines, found, strict=True))
        if polarities
    ]


def movies(folder: Path) -> list[Row]:
    """NSMC's reviews of the 100 held-out movies: ratings 1 to 4 NEGATIVE, 9 and 10 POSITIVE, others NEUTRAL."""
    with (folder / "nsmc" / "entity_reviews_100movies.jsonl").open(encoding="utf-8") as lines:
        return [_rated(item["review"], int(item["rating"]), item["review_id"]) for item in map(json.loads, lines)]


def kobest(folder: Path) -> list[Row]:
    """KoBEST SentiNeg's test sentences: everyday sentences with their negation flipped."""
    rows = _tsv(folder / "kobest_sentineg" / "test.tsv")
    return [Row(row["Text"], int(row["Label"]), "kobest", row["ID"]) for row in rows]


def _label(polarities: set[str]) -> int:
    if polarities == {"positive"}:
        return POSITIVE
    return NEGATIVE if polarities == {"negative"} else NEUTRAL


def _splits() -> list[tuple[str, str, str]]:
    return list(itertools.product(("restaurant", "food"), ("ko", "en"), ("train", "dev")))


def _sources(folder: Path) -> Iterator[list[Row]]:
    for domain, language, split in _splits():
        yield absa(folder, domain, language, split)
    yield _nsmc(folder)
    yield phrases()


def _never_trained_on(folder: Path) -> Iterator[Row]:
    for domain, language in (("restaurant", "ko"), ("restaurant", "en"), ("food", "ko"), ("food", "en")):
        yield from absa(folder, domain, language, "test")
    yield from movies(folder)
    yield from kobest(folder)


def _nsmc(folder: Path) -> list[Row]:
    """NSMC's reviews of other movies, the polar ones."""
    binary = [
        Row(row["document"], int(row["label"]), "nsmc", row["id"]) for row in _tsv(folder / "nsmc" / "binary_5000.tsv")
    ]
    rated = [
        _rated(row["document"], int(row["rating"]), row["id"]) for row in _tsv(folder / "nsmc" / "rating_3000.tsv")
    ]
    return [row for row in (*binary, *rated) if row.text and row.label != NEUTRAL]


def phrases() -> list[Row]:
    """Restaurant slang in Korean and English, written and labelled for this project."""
    numbers = {name: number for number, name in LABELS.items()}
    return [Row(row["text"], numbers[row["label"]], "phrases", row["text"]) for row in _tsv(PHRASES)]


def _rated(text: str, rating: int, group: str) -> Row:
    label = NEGATIVE if rating <= 4 else POSITIVE if rating >= 9 else NEUTRAL
    return Row(text, label, "nsmc", group)


def _tsv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def _untokenised(rows: list[Row]) -> Iterator[Row]:
    """English again as people type it: the corpus writes "do n't" and "good , but"."""
    for row in rows:
        text = re.sub(r" (n't|'\w+)", r"\1", row.text).replace(" 't", "'t")
        text = re.sub(r"\s+([.,!?;:)])", r"\1", text)
        if row.source.endswith("/en") and text != row.text:
            yield Row(text, row.label, f"{row.source}/untokenised", row.group)
