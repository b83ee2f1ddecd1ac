"""Results as JSON, with the machine and the versions that they were measured on: `results/NAME.json`."""

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from schemas.codec import encode_pretty

RESULTS = Path(__file__).parent / "results"


def keep(name: str, figures: Any, packages: tuple[str, ...]) -> Path:
    """Write a benchmark's figures; the file of an earlier run is replaced. `name`: the benchmark's, or `name_part`."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    document = {
        "benchmark": name,
        "command": command(name, sys.argv[1:]),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": machine(),
        "versions": {"python": platform.python_version()} | {package: _version(package) for package in packages},
        "figures": figures,
    }
    path.write_bytes(encode_pretty(document))
    return path


def command(name: str, arguments: Sequence[str]) -> str:
    """How it was called, without the places of this machine."""
    shown = ("DIR" if Path(argument).is_absolute() else argument for argument in arguments if argument != "--keep")
    return shlex.join(("python", "-m", f"tests.benchmarks.{name.partition('_')[0]}", *shown))


def machine() -> dict[str, Any]:
    """Processor, cores, memory in GiB."""
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text("utf-8").splitlines() if cpus.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"processor": model, "cores": os.cpu_count(), "memory_gib": round(memory, 1), "system": platform.system()}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str:
    """With a mark where the code differs from it: results do not count, they are being written."""
    commit = _git("rev-parse", "--short=10", "HEAD").stdout.strip()
    changed = _git(
        "diff", "--quiet", "HEAD", "--", ".", ":(exclude)tests/benchmarks/results", ":(exclude)*.md"
    ).returncode
    return f"{commit}-dirty" if changed else commit


def _git(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(("git", *arguments), capture_output=True, text=True, check=False, timeout=10)  # noqa: S607 - from the path
