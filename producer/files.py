"""The file that `send` reads: its bytes, line by line."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from producer.errors import CannotGoOn

STANDARD_INPUT = "-"
BLOCK_BYTES = 1024 * 1024


@contextmanager
def opened(name: str) -> Iterator[BinaryIO]:
    """Hold the file, or standard input for `-`. Raises CannotGoOn where it cannot be read."""
    if name == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    try:
        stream = Path(name).open("rb")  # noqa: SIM115 - what is raised in the body is not about the file
    except OSError as error:
        raise _unreadable(name, error) from None
    with stream:
        yield stream


def line_count(name: str) -> int | None:
    """Lines of a regular file; None of what can only be read once. Raises CannotGoOn where it cannot be read."""
    path = Path(name)
    if name == STANDARD_INPUT or not path.is_file():
        return None
    try:
        with path.open("rb") as stream:
            blocks = iter(lambda: stream.read(BLOCK_BYTES), b"")
            ends, last = 0, b"\n"
            for block in blocks:
                ends, last = ends + block.count(b"\n"), block[-1:]
    except OSError as error:
        raise _unreadable(name, error) from None
    return ends + (last != b"\n")


def _unreadable(name: str, error: OSError) -> CannotGoOn:
    return CannotGoOn(f"{name} cannot be read: {error.strerror or error}")
