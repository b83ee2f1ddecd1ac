"""How an error that nobody expected is logged: where it came from, and not what it says, which may quote a review."""

import logging
import traceback
from pathlib import Path

FRAMES = 12
"""The innermost, of each error of the chain."""


def log_bug(log: logging.Logger, message: str, error: BaseException) -> None:
    """The kinds of error and the places in the code; at DEBUG the whole of it, with the errors' own words."""
    log.error(message, extra={"error": type(error).__name__, "raised": _raised(error)})
    log.debug(message, exc_info=error)


def _raised(error: BaseException | None) -> list[str]:
    """Outermost cause first, `Kind: file:line in function < caller < ...` each."""
    told: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
        places = (f"{_short(f.filename)}:{f.lineno} in {f.name}" for f in reversed(frames))
        told.append(f"{type(error).__name__}: {' < '.join(places)}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return told[::-1]


def _short(name: str) -> str:
    """The last parts of a path: enough to find it, and nothing of the machine."""
    return "/".join(Path(name).parts[-3:])
