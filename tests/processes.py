"""Looking at this machine's processes, and waiting for what they do."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable


def processes_with(text: str) -> list[str]:
    """List the processes of this machine with the text in their command line, as `pid command line`."""
    command = ["ps", "-axww", "-o", "pid=,command="]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - a literal
    return [line.strip() for line in listed.stdout.splitlines() if text in line]


def comes_true(condition: Callable[[], bool], seconds: float) -> bool:
    """Ask again until the condition holds or the time is over; say whether it held."""
    deadline = time.monotonic() + seconds
    while not (held := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return held


def end_with(harness: int) -> None:
    """Have Linux kill this process, stopped or not, when the harness ends (prctl 1 is PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != harness:
        sys.exit("the harness has ended")
