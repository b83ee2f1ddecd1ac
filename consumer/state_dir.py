"""A directory of this process alone, for what should survive it: `STATE_DIR/{group id}/{number}`."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

from consumer.errors import ConfigError

log = logging.getLogger(__name__)

MAX_MEMBERS = 1000
"""Processes of one group on one host."""
_LOCK = "lock"


@contextmanager
def free_directories(state_dir: Path, group_id: str) -> Iterator[list[Path]]:
    """Hold the directories of a group that no process holds, as if they were ours. Raises ConfigError."""
    with ExitStack() as held:
        try:
            yield [path for path in _directories(state_dir, group_id) if _taken(path, held)]
        except OSError as error:
            raise ConfigError(f"STATE_DIR={state_dir}: {error.strerror or error} ({error.filename})") from None


def _directories(state_dir: Path, group_id: str) -> list[Path]:
    group = state_dir / quote(group_id, safe="")
    return sorted(path.parent for path in group.glob(f"*/{_LOCK}"))


def _taken(path: Path, held: ExitStack) -> bool:
    descriptor = _lock(path / _LOCK)
    if descriptor is not None:
        held.callback(os.close, descriptor)
    return descriptor is not None


def _lock(file: Path) -> int | None:
    """The lock's descriptor; None where another process has it. Raises OSError."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


class StateDirectory:
    """The first directory of its group that no other process holds: after a restart most likely the same again.

    Held by an advisory lock (flock), which ends with the process however that ends.
    """

    def __init__(self, state_dir: Path, group_id: str) -> None:
        self._group = state_dir / quote(group_id, safe="")
        self._lock: int | None = None
        self._path: Path | None = None

    @property
    def path(self) -> Path:
        """The directory. Raises ValueError where it is not open."""
        if self._path is None:
            raise ValueError("the state directory is not open")
        return self._path

    def open(self) -> Path:
        """Make and lock it. Raises ConfigError where that cannot be."""
        if self._path is not None:
            return self._path
        try:
            for number in range(MAX_MEMBERS):
                path = self._group / str(number)
                path.mkdir(parents=True, exist_ok=True)
                self._lock = _lock(path / _LOCK)
                if self._lock is not None:
                    self._path = path
                    return path
        except OSError as error:
            raise ConfigError(
                f"STATE_DIR={self._group.parent}: {error.strerror or error} ({error.filename or self._group}); "
                "give a directory that this process may write"
            ) from None
        raise ConfigError(f"STATE_DIR={self._group.parent}: {MAX_MEMBERS} processes of the group hold all of it")

    def close(self) -> None:
        """Let another process have it; safe to call twice."""
        lock, self._lock, self._path = self._lock, None, None
        if lock is not None:
            os.close(lock)
