"""`python -m deploy.together 'COMMAND ...' 'COMMAND ...'`: run commands side by side; when one ends, end the others.

SIGTERM and SIGINT are passed on as SIGTERM. The exit status is that of the command that ended first; where a
signal ended us or it, 128 and its number. Commands are split as a shell would, and run without one; each in a session
of its own, so that a terminal's Ctrl-C reaches them once, through us.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from typing import Final

STOP_SECONDS: Final = 25.0
"""Less than `deploy.kafka --exec` gives a command to end."""

Process = asyncio.subprocess.Process


def main(commands: Sequence[str]) -> int:
    """Run them; return the exit status."""
    if not commands or not all(shlex.split(command) for command in commands):
        print(__doc__, file=sys.stderr)
        return 2
    return asyncio.run(_together([shlex.split(command) for command in commands]))


async def _together(commands: Sequence[Sequence[str]]) -> int:
    loop = asyncio.get_running_loop()
    told: asyncio.Future[int] = loop.create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _tell, told, number)
    processes: list[Process] = []
    try:
        for command in commands:
            process = await asyncio.create_subprocess_exec(*command, start_new_session=True)
            processes.append(process)  # at once: the next one may not be there
        return await _first_end(processes, told)
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 127
    finally:
        await _end_all(processes)


def _tell(told: asyncio.Future[int], number: int) -> None:
    if not told.done():
        told.set_result(number)


async def _first_end(processes: Sequence[Process], told: asyncio.Future[int]) -> int:
    ends = {asyncio.ensure_future(process.wait()): process for process in processes}
    done, waiting = await asyncio.wait({*ends, told}, return_when=asyncio.FIRST_COMPLETED)
    for end in waiting - {told}:
        end.cancel()
    if told in done:
        return 128 + told.result()
    status = next(end for end in ends if end in done).result()
    return status if status >= 0 else 128 - status


async def _end_all(processes: Sequence[Process]) -> None:
    """SIGTERM to those that run; SIGKILL, with all that they started, to what is left after a while."""
    running = [process for process in processes if process.returncode is None]
    for process in running:
        process.terminate()
    ends = [asyncio.ensure_future(process.wait()) for process in running]
    if ends:
        await asyncio.wait(ends, timeout=STOP_SECONDS)
    for process in running:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
