"""`make mutants`: each guard removed in a copy of the tree, and its test run there, which must fail."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.kafka.sources import VARIABLE, open_kafka
from tests.mutants.guards import GUARDS, Guard

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("consumer", "producer", "schemas", "tests", "deploy", "pyproject.toml", "README.md", "Makefile")
SECONDS = 300
"""Of one mutant's test; one that hangs has noticed too."""


def main() -> int:
    """Try the guards whose name, file or test holds one of the arguments, or all; 1 if one is not missed."""
    wanted = [g for g in GUARDS if not sys.argv[1:] or any(word in str(g) for word in sys.argv[1:])]
    kafka = open_kafka(os.environ, ROOT / ".cache")
    try:
        unnoticed = [guard for guard in wanted if not _tell(guard, kafka.bootstrap_servers)]
    finally:
        kafka.close()
    print(f"{len(wanted)} guards removed, {len(wanted) - len(unnoticed)} noticed")
    return 1 if unnoticed else 0


def _tell(guard: Guard, bootstrap_servers: str) -> bool:
    noticed = _noticed(guard, bootstrap_servers)
    print(f"{'noticed' if noticed else 'NOT NOTICED'}  {guard.invariant}  ({guard.file}; {guard.test})", flush=True)
    return noticed


def _noticed(guard: Guard, bootstrap_servers: str) -> bool:
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        for name in COPIED:
            _copy(ROOT / name, Path(folder) / name)
        _remove(guard, Path(folder))
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", guard.test]
        environment = os.environ | {VARIABLE: bootstrap_servers, "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            ended = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return True
        if ended.returncode not in {0, 1}:  # 1: a test failed; others: pytest itself did
            raise SystemExit(f"{guard.test}: pytest ended with {ended.returncode}:\n{ended.stdout.decode()[-2000:]}")
        return ended.returncode == 1


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def _remove(guard: Guard, root: Path) -> None:
    path = root / guard.file
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(guard.old, guard.new), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
