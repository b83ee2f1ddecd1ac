"""A real Prometheus of a test's own, and its tools. Missing, they are a failure with CI set, else a skip."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml

START_SECONDS: Final = 20.0
MISSING: Final = "Prometheus is not installed: `make prometheus`, or your system's package manager"


@dataclass(frozen=True, slots=True)
class Series:
    """One line of an answer: its labels, and (seconds since 1970, value) in order of time."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]

    @property
    def values(self) -> tuple[float, ...]:
        """Without the times."""
        return tuple(value for _, value in self.points)


def promtool() -> str:
    """The program's path."""
    return _program("promtool")


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Prometheus:
    """One process; `targets` are job names and their addresses, `rules` rule groups as their file would hold them."""

    def __init__(
        self, folder: Path, targets: Mapping[str, Sequence[str]], seconds: float, rules: Mapping[str, Any] | None = None
    ) -> None:
        self._folder, self._port = folder, free_port()
        folder.mkdir(parents=True, exist_ok=True)
        interval = f"{round(seconds * 1000)}ms"
        (folder / "alerts.yml").write_text(yaml.safe_dump(rules or {"groups": []}), "utf-8")
        jobs = [{"job_name": job, "static_configs": [{"targets": list(at)}]} for job, at in targets.items()]
        times = {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval}
        config = {"global": times, "rule_files": ["alerts.yml"], "scrape_configs": jobs}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), "utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it answers."""
        command = (
            _program("prometheus"),
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--query.lookback-delta=10s",
            "--log.level=warn",
        )
        with (self._folder / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - a literal
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(URLError, OSError), urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=2):
                return
            time.sleep(0.1)
        self.stop()
        raise RuntimeError(f"Prometheus is not up:\n{(self._folder / 'prometheus.log').read_text('utf-8')}")

    def stop(self) -> None:
        """End it; what it scraped stays in its folder."""
        if self._process:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def query(self, expression: str) -> list[Series]:
        """Evaluate now."""
        found = self._ask("query", query=expression)
        return [Series(one["metric"], (_point(one["value"]),)) for one in found]

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[Series]:
        """Evaluate at each step from start to end, seconds since 1970."""
        found = self._ask("query_range", query=expression, start=start, end=end, step=step)
        return [Series(one["metric"], tuple(map(_point, one["values"]))) for one in found]

    def firing(self) -> set[str]:
        """Alerts that fire now."""
        return {one.labels["alertname"] for one in self.query('ALERTS{alertstate="firing"}')}

    def _ask(self, what: str, **parameters: object) -> list[dict[str, Any]]:
        url = f"http://127.0.0.1:{self._port}/api/v1/{what}?{urlencode(parameters)}"
        with urlopen(url, timeout=30) as answer:
            result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return result


def _point(pair: Sequence[Any]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(MISSING)
    return str(found)
