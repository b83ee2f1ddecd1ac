"""Where a command's lines go."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from consumer.errors import ConfigError


@contextmanager
def opened_output(out: Path | None) -> Iterator[IO[bytes]]:
    """Standard output, or a file that is there only when it is whole. Raises ConfigError."""
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = out.with_name(f"{out.name}.part")
    try:
        with part.open("wb") as stream:
            yield stream
        part.replace(out)
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)
