"""Members killed, frozen and restarted, the broker killed, all in a quarter of a minute: nothing may be lost.

The long version is run by hand: `python -m tests.chaos --seconds 600`.
"""

import logging
from pathlib import Path

import pytest

from tests.chaos.harness import Options, accepted_deliveries, chaos
from tests.chaos.plan import SHORT

SECONDS = 12.0
PATIENCE = 300
"""Seconds for a machine that does much else: each wait has a bound of its own, and a report."""


@pytest.mark.parametrize("delivery", accepted_deliveries())
@pytest.mark.usefixtures("java_kafka")
@pytest.mark.timeout(PATIENCE)
async def test_invariants_1_and_2_whatever_is_killed(
    delivery: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each record one result or one dead letter, once in exactly_once; in order by key; no offset goes back."""
    caplog.set_level(logging.CRITICAL, "aiokafka")  # with the broker killed, the clients have much to say
    said: list[str] = []
    report = await chaos(Options(delivery, SECONDS, seed=1, pace=SHORT, rate=100, partitions=4), tmp_path, said.append)
    assert not report.problems(), "\n".join([report.text(), *said, f"logs: {tmp_path}"])
    assert set(report.done) == set(SHORT.deck)
    assert report.records > 0
