"""`python -m deploy.grafana`: write the dashboards' JSON; with `--check` only say whether it is up to date."""

import sys
from pathlib import Path

from deploy.grafana.engine import ENGINE
from deploy.grafana.pipeline import PIPELINE
from deploy.grafana.results import RESULTS

FOLDER = Path(__file__).with_name("dashboards")
FILES = {"pipeline.json": PIPELINE, "engine.json": ENGINE, "results.json": RESULTS}


def stale() -> list[str]:
    """Files that are not what the code makes."""
    return [name for name, made in FILES.items() if _text(FOLDER / name) != made.as_json()]


def main(arguments: list[str]) -> int:
    """Write or check; the exit status."""
    if arguments == ["--check"]:
        for name in (wrong := stale()):
            print(f"{FOLDER / name} is not what deploy/grafana makes: `python -m deploy.grafana` writes it")
        return bool(wrong)
    FOLDER.mkdir(exist_ok=True)
    for name, made in FILES.items():
        (FOLDER / name).write_text(made.as_json(), "utf-8")
    return 0


def _text(file: Path) -> str:
    return file.read_text("utf-8") if file.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
