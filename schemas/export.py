"""Write the JSON Schemas and the AsyncAPI document beside the models they come from.

    python -m schemas.export            write schemas/json/*.json and schemas/asyncapi.json
    python -m schemas.export --check    write nothing; exit 1 and name what is not up to date

The schemas are pydantic's in `validation` mode, for input and output alike: they describe every record of a topic,
those of older versions too, so a field that was added later is optional in them.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from schemas import asyncapi, batch
from schemas.base import WireModel
from schemas.codec import encode_pretty
from schemas.events import AnalysisRequest, ReviewEvent
from schemas.results import AnalysisReply, RestaurantStrengths, RestaurantSummary, SentimentResult, SentimentTotals

HOME = Path(__file__).parent
DIALECT = "https://json-schema.org/draft/2020-12/schema"

TOPIC_MODELS: tuple[type[WireModel], ...] = (
    ReviewEvent,
    SentimentResult,
    SentimentTotals,
    RestaurantSummary,
    RestaurantStrengths,
    AnalysisRequest,
    AnalysisReply,
)
HTTP_MODELS: tuple[type[WireModel], ...] = (
    batch.SentimentAnalysisBatchRequest,
    batch.SentimentAnalysisBatchResponse,
    batch.SummaryBatchRequest,
    batch.SummaryBatchResponse,
    batch.StrengthBatchRequest,
    batch.StrengthBatchResponse,
)


def exported() -> dict[str, bytes]:
    """Every file that is exported: its path under schemas/, and its bytes."""
    files = {f"json/{model.__name__}.json": encode_pretty(schema(model)) for model in (*TOPIC_MODELS, *HTTP_MODELS)}
    return {**files, "asyncapi.json": encode_pretty(asyncapi.document())}


def schema(model: type[WireModel]) -> dict[str, object]:
    """One model's JSON Schema (draft 2020-12), complete in itself."""
    return {"$schema": DIALECT, **model.model_json_schema(mode="validation")}


def stale(home: Path, files: Mapping[str, bytes]) -> list[str]:
    """Paths under `home` that are missing, differ, or should not be there."""
    wrong = [path for path, content in files.items() if _content(home / path) != content]
    surplus = (f"json/{path.name}" for path in (home / "json").glob("*"))
    return sorted({*wrong, *(path for path in surplus if path not in files)})


def write(home: Path, files: Mapping[str, bytes]) -> list[str]:
    """Make the folder equal to `files`, and return the paths that changed."""
    changed = stale(home, files)
    for path in changed:
        if path in files:
            (home / path).parent.mkdir(parents=True, exist_ok=True)
            (home / path).write_bytes(files[path])
        else:
            (home / path).unlink()
    return changed


def main(arguments: list[str] | None = None, home: Path = HOME) -> int:
    """Run the command; 0 when all is up to date, or was written."""
    parser = argparse.ArgumentParser(prog="python -m schemas.export", description="Export the wire contracts.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if anything is not up to date")
    check = parser.parse_args(arguments).check
    changed = stale(home, exported()) if check else write(home, exported())
    for path in changed:
        sys.stdout.write(f"{'not up to date' if check else 'written'}: schemas/{path}\n")
    if check and changed:
        sys.stderr.write("run `make schemas` and commit what it writes\n")
    return int(check and bool(changed))


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


if __name__ == "__main__":
    sys.exit(main())
