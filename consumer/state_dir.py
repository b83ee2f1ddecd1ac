"""A directory of this process alone, for what should survive it: `STATE_DIR/{group id}/{number}`."""

import fcntl
import logging
import os
from pathlib import Path
from urllib.parse import quote

from consumer.errors import ConfigError

log = logging.getLogger(__name__)

MAX_MEMBERS = 1000
"""Processes of one group on one host."""
_LOCK = "lock"


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
                if self._locked(path / _LOCK):
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

    def _locked(self, file: Path) -> bool:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError:
            os.close(descriptor)
            raise
        self._lock = descriptor
        return True
