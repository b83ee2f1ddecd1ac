"""deploy/Dockerfile as data, and its build stage run in a folder: what needs no Docker of it."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.ops.deployed import DEPLOY, ROOT

FILE: Final = DEPLOY / "Dockerfile"
STEP_SECONDS: Final = 240.0


@dataclass(frozen=True, slots=True)
class Instruction:
    """One line, its continuations joined; `stage` is the one that it is of."""

    stage: str
    word: str
    rest: str


def instructions() -> list[Instruction]:
    """All of them, in order."""
    return list(_parsed(FILE.read_text("utf-8")))


def sources(step: Instruction) -> list[str]:
    """What a COPY from the build context takes; nothing of one that takes from another stage."""
    return [] if "--from" in step.rest else step.rest.split()[:-1]


def run_build_stage(folder: Path) -> None:
    """Take each step of the stage `build` with `folder` as the root. Raises AssertionError with what a step said.

    Python is this one, not the image's; everything else is as written there.
    """
    work, tools = folder / "src", folder / "tools"
    for made in (work, tools):
        made.mkdir()
    (tools / "python").symlink_to(Path(sys.executable).resolve())
    for step in instructions():
        if step.stage == "build" and step.word == "COPY":
            _copy(step, work)
        elif step.stage == "build" and step.word == "RUN":
            _run(step.rest.replace("/opt/", f"{folder}/opt/"), work, tools)


def _copy(step: Instruction, work: Path) -> None:
    target = work / step.rest.split()[-1]
    for source in (ROOT / name for name in sources(step)):
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def _run(command: str, work: Path, tools: Path) -> None:
    # pip as it is set up here, with its cache; byte code is not what is tested
    kept = {name: value for name, value in os.environ.items() if name == "HOME" or name.startswith(("PIP_", "SSL_"))}
    environment = kept | {"PATH": f"{tools}:/usr/bin:/bin", "PIP_NO_COMPILE": "1"}
    done = subprocess.run(  # noqa: S603 - our own Dockerfile
        ["/bin/sh", "-ec", command],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        timeout=STEP_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def _parsed(text: str) -> Iterator[Instruction]:
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    stage = ""
    for line in filter(None, joined.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stage = rest.split()[-1]
        yield Instruction(stage, word, rest.strip())
