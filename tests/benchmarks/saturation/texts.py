"""What is analysed. No two prompts of a run begin alike: the prefix cache finds what all prompts share, and no more.

Reviews are NSMC's: of a folder that is laid out as ../local_model/README.md says, or the 300 of tests/data. Where there
are fewer than asked for, they come again with their number in front: prompts then differ from their text's first token
on, and reviews stay as long as they are. Restaurants are made of the sample's reviews of restaurants
(producer/samples): each begins with another one.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from schemas.batch import RatedReview, StrengthBatchItem, SummaryBatchItem

A_RESTAURANT = 20
"""Reviews of one, half of which recommend it."""
_ROOT = Path(__file__).parents[3]
_EXTRACT = _ROOT / "tests" / "data" / "nsmc_reviews.jsonl"
_SAMPLE = _ROOT / "producer" / "samples" / "reviews.jsonl"
_HALF, _QUARTER = A_RESTAURANT // 2, A_RESTAURANT // 4


def reviews(count: int, data: Path | None = None) -> list[str]:
    """Distinct texts, none of them empty, the same each time and mixed."""
    if data:
        texts = _mixed(line["review"] for line in _lines(data / "nsmc" / "entity_reviews_100movies.jsonl"))
    else:
        texts = _mixed(line["content"] for line in _lines(_EXTRACT))
    again = [f"{number}. {texts[number % len(texts)]}" for number in range(len(texts), count)]
    return [*texts[:count], *again]


def summary_item(number: int) -> SummaryBatchItem:
    """A restaurant of a summary request."""
    return SummaryBatchItem(
        restaurant_id=number,
        positive_reviews=_rated(number, _HALF, recommended=True),
        negative_reviews=_rated(number, _HALF, recommended=False),
    )


def strength_item(number: int) -> StrengthBatchItem:
    """A restaurant of a strength request: half of the reviews are the target's, half of each half recommend."""
    pro, con = _rated(number, _HALF, recommended=True), _rated(number, _HALF, recommended=False)
    return StrengthBatchItem(
        target_restaurant_id=number,
        target_reviews=(*pro[:_QUARTER], *con[:_QUARTER]),
        comparison_reviews=(*con[_QUARTER:], *pro[_QUARTER:]),
    )


def _rated(restaurant: int, count: int, *, recommended: bool) -> tuple[RatedReview, ...]:
    texts = _sample(recommended)
    return tuple(
        RatedReview(content=texts[(restaurant + place) % len(texts)], id=place, is_recommended=recommended)
        for place in range(count)
    )


@cache
def _sample(recommended: bool) -> list[str]:  # noqa: FBT001 - which half of the sample
    return _mixed(line["content"] or "" for line in _lines(_SAMPLE) if line.get("is_recommended") is recommended)


def _mixed(texts: Iterable[str]) -> list[str]:
    return sorted({text for text in texts if text.strip()}, key=lambda text: hashlib.sha256(text.encode()).digest())


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)
