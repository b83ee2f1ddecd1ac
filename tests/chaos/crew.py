"""The members as processes: started, killed, frozen, stopped; and those that ended by themselves."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_LOOK_SECONDS: Final = 0.05
_BACK_OFF_SECONDS: Final = 3.0
_TAIL_LINES: Final = 15
_GENERATION: Final = re.compile(rb"\(generation (\d+)\)")
_NO_BROKER: Final = re.compile(
    r"^error: (no broker answered at|the broker at \S+ (went away|did not finish))", re.MULTILINE
)
_REPOSITORY: Final = Path(__file__).resolve().parents[2]


@dataclass(slots=True, eq=False)
class Member:
    """One process. `leaving`: we have ended it, or are about to."""

    number: int
    process: "subprocess.Popen[bytes]"
    log: Path
    home: Path
    """Its STATE_DIR; whoever takes its place takes this over."""
    frozen: bool = False
    leaving: bool = False

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self.process.poll() is None

    def tail(self) -> str:
        """The end of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])


@dataclass(slots=True)
class Ends:
    """How members ended."""

    own: int = 0
    """By themselves."""
    excused: int = 0
    """Of these: their start found no broker, which is what `run` says and does then."""
    wrong: list[str] = field(default_factory=list)
    """The others, and those that did not stop in time or with status 0; each with the end of its log."""


class Crew:
    """All members, by number; `environment` is each one's, `folder` holds their logs."""

    def __init__(
        self, environment: Mapping[str, str], seed: int, folder: Path, stop_seconds: float, say: Callable[[str], None]
    ) -> None:
        self._environment, self._seed, self._folder = environment, seed, folder
        self._stop_seconds, self._say = stop_seconds, say
        self._members: list[Member] = []
        self.ends = Ends()

    def start(self, instead_of: Member | None = None) -> Member:
        """One member more, or one in the place of another that has ended."""
        number = len(self._members)
        home = instead_of.home if instead_of else self._folder / f"state-{number}"
        own = {
            "CHAOS_HARNESS": str(os.getpid()),
            "CHAOS_SEED": str(self._seed * 1000 + number),
            "STATE_DIR": str(home),
        }
        log = self._folder / f"member-{number}.log"
        with log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.member"],
                cwd=_REPOSITORY,
                env=dict(self._environment) | own,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,  # a Ctrl-C in the terminal reaches the harness, which then ends them
            )
        member = Member(number, process, log, home)
        self._members.append(member)
        return member

    def free(self) -> list[Member]:
        """Those that run and that nothing is being done to."""
        return [member for member in self._members if member.running and not member.frozen and not member.leaving]

    def kill(self, member: Member) -> None:
        """SIGKILL."""
        member.leaving = True
        member.process.kill()
        member.process.wait(timeout=10)

    def freeze(self, member: Member) -> None:
        """SIGSTOP."""
        member.frozen = True
        member.process.send_signal(signal.SIGSTOP)

    def thaw(self, member: Member) -> None:
        """SIGCONT."""
        member.process.send_signal(signal.SIGCONT)
        member.frozen = False

    async def stop(self, member: Member) -> None:
        """SIGTERM; wait for the end, which must come in time and with status 0."""
        member.leaving = True
        member.process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        while member.running and time.monotonic() - started < self._stop_seconds:
            await asyncio.sleep(_LOOK_SECONDS)
        if member.running:
            self._wrong(member, f"did not stop within {self._stop_seconds:g} s of SIGTERM")
            self.kill(member)
        elif member.process.returncode not in {0, -signal.SIGTERM}:  # the latter: it was only just starting
            self._ended(member, f"ended with status {member.process.returncode} after SIGTERM")

    async def watch(self) -> None:
        """Start another member for each that ends by itself, after a pause; until cancelled."""
        due: list[tuple[float, Member]] = []
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for member in [m for m in self._members if not m.running and not m.leaving]:
                member.leaving = True
                self.ends.own += 1
                self._ended(member, f"ended by itself with status {member.process.returncode}")
                due.append((time.monotonic() + _BACK_OFF_SECONDS, member))
            while due and due[0][0] <= time.monotonic():
                _, member = due.pop(0)
                self._say(f"start member {self.start(instead_of=member).number} in the place of {member.number}")

    def close(self) -> None:
        """Leave no process behind."""
        for member in self._members:
            if member.running:
                self.kill(member)

    def rebalances(self) -> int:
        """Generations of the group that any member was part of."""
        return len({number for member in self._members for number in _generations(member.log)})

    def _ended(self, member: Member, how: str) -> None:
        if _NO_BROKER.search(member.tail()):
            self.ends.excused += 1
            self._say(f"member {member.number} {how}: its start found no broker")
        else:
            self._wrong(member, how)

    def _wrong(self, member: Member, how: str) -> None:
        self._say(f"member {member.number} {how}")
        self.ends.wrong.append(f"member {member.number} {how}; the end of {member.log.name}:\n{member.tail()}")


def _generations(log: Path) -> Iterator[int]:
    with log.open("rb") as lines:
        for line in lines:
            if b"Joined group" in line and (found := _GENERATION.search(line)):
                yield int(found[1])
