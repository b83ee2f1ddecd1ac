"""Kafka's jars are fetched once and whole, whoever asks and whatever happens; with a `mvn` of the tests' own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.kafka import jars
from deploy.kafka.errors import Unavailable

REPOSITORY = Path(__file__).resolve().parents[2]
RESOLVES = (
    "import sys; from pathlib import Path; from deploy.kafka.jars import resolve; print(resolve(Path(sys.argv[1])))"
)


def test_the_pom_asks_for_the_version_that_the_cache_is_named_after() -> None:
    """A new Kafka is a change in two places; this keeps them together."""
    pom = Path(jars.__file__).with_name("pom.xml").read_text(encoding="utf-8")
    versions = re.findall(r"<artifactId>kafka_2\.13</artifactId>\s*<version>(.+)</version>", pom)
    assert versions == [jars.KAFKA_VERSION]


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_402"', 8),
        ('openjdk version "25"', 25),
        ("", 0),
    ],
)
def test_the_java_version_is_read_from_what_java_says(said: str, version: int) -> None:
    """Both the old numbering and a bare number are understood."""
    assert jars.java_version(said) == version


def test_two_fetches_at_once_run_maven_once(tmp_path: Path, maven: Path) -> None:
    """Of two processes one fetches; the other waits and finds the whole folder, with nothing left over beside it."""
    cache = tmp_path / "cache"
    processes = [fetching(cache), fetching(cache)]
    folders = {process.communicate(timeout=30)[0].strip() for process in processes}
    assert folders == {str(cache / f"kafka-{jars.KAFKA_VERSION}")}
    assert runs_of(maven) == 1
    assert [path.name for path in next(iter(cache.glob("kafka-*[0-9]"))).glob("*.jar")] == ["whole.jar"]
    assert list(cache.glob("*.partial-*")) == []


def test_a_fetch_that_was_killed_is_done_again(tmp_path: Path, maven: Path) -> None:
    """A kill in the middle leaves neither a lock nor a folder that looks whole."""
    first = fetching(tmp_path)
    wait_for(maven.with_name("runs"))
    first.send_signal(signal.SIGKILL)
    first.communicate()
    second = fetching(tmp_path)
    folder = Path(second.communicate(timeout=30)[0].strip())
    assert second.returncode == 0
    assert (folder / "whole.jar").is_file()


def test_two_threads_run_maven_once_too(tmp_path: Path, maven: Path) -> None:
    """The lock is the file's, not the process's."""
    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(jars.resolve, [tmp_path, tmp_path]))
    assert folders[0] == folders[1]
    assert runs_of(maven) == 1


def test_a_changed_pom_is_fetched_anew(tmp_path: Path, maven: Path) -> None:
    """The folder says which pom it came from; another one's jars are not taken for ours."""
    folder = jars.resolve(tmp_path)
    (folder / "pom.xml").write_text("<project/>", encoding="utf-8")
    jars.resolve(tmp_path)
    jars.resolve(tmp_path)
    assert runs_of(maven) == 2


def test_a_maven_that_fails_gives_its_own_words_and_leaves_no_folder(tmp_path: Path, maven: Path) -> None:
    """Without a network, say: the reason is Maven's, and the next try starts afresh."""
    maven.write_text("#!/bin/sh\necho unknown host; exit 1\n", encoding="utf-8")
    with pytest.raises(Unavailable, match="unknown host"):
        jars.resolve(tmp_path)
    assert not (tmp_path / f"kafka-{jars.KAFKA_VERSION}").exists()


def test_without_java_or_maven_the_reason_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty PATH has neither."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="no java on the PATH"):
        jars.find_java()
    with pytest.raises(Unavailable, match="no mvn on the PATH"):
        jars.resolve(tmp_path)


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `mvn` on the PATH that takes half a second, counts its runs and writes a jar where the real one would."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "mvn"
    text = f"""#!/bin/sh
    echo run >> {folder}/runs
    for option; do case $option in -DoutputDirectory=*) into=${{option#*=}};; esac; done
    sleep 0.5
    echo jar > "$into/whole.jar"
    """
    program.write_text(text, encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return program


def runs_of(maven: Path) -> int:
    """Count how often the `mvn` of the fixture ran."""
    return len(maven.with_name("runs").read_text(encoding="utf-8").splitlines())


def fetching(cache: Path) -> subprocess.Popen[str]:
    """Start a process that resolves the jars into the cache and prints their folder."""
    command = [sys.executable, "-c", RESOLVES, str(cache)]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own


def wait_for(path: Path) -> None:
    """Wait until the file is there, at most ten seconds."""
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never appeared"
        time.sleep(0.01)
