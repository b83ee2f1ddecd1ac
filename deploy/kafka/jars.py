"""The jars of Kafka, resolved once by Maven from pom.xml into a cache folder, and the Java that runs them."""

from __future__ import annotations

import contextlib
import fcntl
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from deploy.kafka.errors import Unavailable

KAFKA_VERSION: Final = "4.3.1"  # as in pom.xml: a test compares them
OLDEST_JAVA: Final = 17
FETCH_SECONDS: Final = 600.0
DEFAULT_CACHE: Final = Path(__file__).resolve().parents[2] / ".cache"
_POM: Final = Path(__file__).with_name("pom.xml")


def resolve(cache: Path = DEFAULT_CACHE) -> Path:
    """Return the folder `kafka-VERSION` below `cache` with every jar in it, fetching them the first time.

    Blocks for at most about FETCH_SECONDS. Safe for several processes at once: one fetches, the others wait for it; a
    fetch that is cut off leaves nothing that a later one would take for whole. Raises Unavailable with the reason.
    """
    folder = cache / f"kafka-{KAFKA_VERSION}"
    if _is_whole(folder):
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"{folder.name}.lock"):
        if not _is_whole(folder):
            _fetch(folder)
    return folder


def find_java() -> str:
    """Return the path of a Java that can run Kafka; raises Unavailable where there is none or it is too old."""
    java = shutil.which("java")
    if java is None:
        raise Unavailable(f"no java on the PATH (Kafka {KAFKA_VERSION} needs Java {OLDEST_JAVA} or newer)")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr
    if (version := java_version(said)) < OLDEST_JAVA:
        raise Unavailable(f"{java} is Java {version}; Kafka {KAFKA_VERSION} needs {OLDEST_JAVA} or newer")
    return java


def java_version(said: str) -> int:
    """Read the feature release out of what `java -version` said; 0 where it says none."""
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(found.group(1)) if found else 0


def _is_whole(folder: Path) -> bool:
    """Say whether the folder came from this very pom: a changed one asks for a new fetch."""
    copy = folder / _POM.name
    return copy.is_file() and copy.read_bytes() == _POM.read_bytes()


def _fetch(folder: Path) -> None:
    prefix = f"{folder.name}.partial-"
    for left in folder.parent.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    partial = Path(
        tempfile.mkdtemp(prefix=prefix, dir=folder.parent)
    )  # new, as a cut-off Maven may still write to its own
    _run_maven(partial)
    shutil.copyfile(_POM, partial / _POM.name)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _run_maven(into: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise Unavailable(f"no mvn on the PATH to fetch Kafka {KAFKA_VERSION} with")
    options = ["-q", "-B", "-ntp", "--strict-checksums", "-f", str(_POM), f"-DoutputDirectory={into}"]
    try:
        ended = subprocess.run(
            [maven, *options, "dependency:copy-dependencies"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=FETCH_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Unavailable(f"mvn had not fetched Kafka {KAFKA_VERSION} after {FETCH_SECONDS:.0f} s") from None
    if ended.returncode != 0:
        raise Unavailable(f"mvn could not fetch Kafka {KAFKA_VERSION}: {ended.stdout.strip()[:2000]}")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock file; the system lets go of it when its holder dies, however that happens."""
    deadline = time.monotonic() + FETCH_SECONDS
    with path.open("w") as lock:
        while not _took(lock.fileno()):
            if time.monotonic() > deadline:
                raise Unavailable(f"another process has held {path} for {FETCH_SECONDS:.0f} s")
            time.sleep(0.1)
        yield


def _took(descriptor: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
