"""Runs one command and sees to it that the command does not outlive the process that asked for it.

    python -IS warden.py PARENT_PID FOLDER COMMAND...

Runs COMMAND until it ends, and ends with its status. SIGTERM is passed on as it is, SIGUSR1 as SIGKILL. When PARENT_PID
is no longer this process's parent (it was killed, say), the command is killed and FOLDER removed. A kernel signal at
the parent's death alone would not do: Linux sends it when the *thread* that forked ends, other systems have none.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

_POLL_SECONDS = 0.05


def main(parent: int, folder: Path, command: list[str]) -> int:
    """Run the command to its end, or to the parent's; return its status (negative: the signal it died of)."""
    child = subprocess.Popen(command, preexec_fn=_die_with_parent)  # noqa: PLW1509 - this process has one thread
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    signal.signal(signal.SIGUSR1, lambda *_: child.kill())
    while child.poll() is None:
        if os.getppid() != parent:
            child.kill()
            child.wait()
            shutil.rmtree(folder, ignore_errors=True)
        time.sleep(_POLL_SECONDS)
    return child.returncode


def _die_with_parent() -> None:
    """Ask Linux to kill the command when the warden itself is killed (prctl 1 is PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


if __name__ == "__main__":
    status = main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
    sys.exit(status if status >= 0 else 128 - status)
