"""`review-producer demo`: from nothing to a table, with numbers that add up; and how it ends when something fails."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from producer import sample
from producer.demo import demo
from producer.errors import CannotGoOn
from producer.sample import Sample
from producer.service import ConsumerProcess

REPOSITORY = Path(__file__).resolve().parents[2]
DEMO = (sys.executable, "-m", "producer.cli", "demo")
DIES = (sys.executable, "-c", "import sys; sys.exit('error: the engine is missing')")
DEAF = (
    *(sys.executable, "-c"),
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)",
)


@pytest.fixture
def small() -> Sample:
    """The first reviews of the sample."""
    found = sample.load()
    return Sample(found.reviews[:5], found.malformed[:1], found.names)


def test_the_demo_answers_the_whole_sample_within_a_minute() -> None:
    """A row a restaurant, every record answered or dead-lettered; settings for another broker are ignored."""
    environment = os.environ | {"KAFKA_BOOTSTRAP_SERVERS": "elsewhere:9092", "KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}
    started = time.monotonic()
    done = subprocess.run(  # noqa: S603 - our own program
        DEMO, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=110, check=False
    )
    seconds = time.monotonic() - started
    assert (done.returncode, done.stderr) == (0, "")
    assert "read 386 = answered 383 + dead-lettered 3; " in done.stdout
    assert all(name in done.stdout for name in sample.load().names.values())
    assert "×" in done.stdout
    assert "“" in done.stdout
    assert "none yet" not in done.stdout
    assert seconds < 60


async def test_a_consumer_that_ends_by_itself_is_shown_with_its_log(small: Sample) -> None:
    """Its status and its last words are in the message."""
    with pytest.raises(CannotGoOn, match=r"(?s)consumer ended by itself with status 1.*the engine is missing"):
        await demo(small, lambda _text: None, DIES)


async def test_a_consumer_that_is_deaf_to_sigterm_is_killed(tmp_path: Path) -> None:
    """After the time it was given; its status says that it was killed."""
    consumer = ConsumerProcess(os.environ, tmp_path / "log", DEAF)
    await consumer.start()
    async with asyncio.timeout(20):
        while "deaf" not in consumer.log_tail():
            await asyncio.sleep(0.02)
    assert await consumer.stop(0.2) == -signal.SIGKILL
    assert await consumer.stop(0.2) == -signal.SIGKILL


async def test_a_stop_before_the_start_does_nothing(tmp_path: Path) -> None:
    """The clean-up after a broker that did not start."""
    assert await ConsumerProcess({}, tmp_path / "log").stop(1) == 0


async def test_a_cancelled_demo_leaves_no_consumer_behind(small: Sample, tmp_path: Path) -> None:
    """Interrupted in the middle, it stops the consumer before it ends."""
    pid_file = tmp_path / "pid"
    waits = f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    running = asyncio.create_task(demo(small, lambda _text: None, (sys.executable, "-c", waits)))
    async with asyncio.timeout(20):
        while not (pid_file.exists() and pid_file.read_text("utf-8")):
            await asyncio.sleep(0.02)
    os.kill(os.getpid(), signal.SIGTERM)  # to ourselves: the demo has made it a cancellation
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text("utf-8")), 0)
