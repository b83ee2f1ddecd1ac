"""Structured logs to standard error: for people, or as JSON. No review text above DEBUG, no secrets."""

import logging
import sys
from collections.abc import Callable
from typing import Literal

import orjson
import structlog

from consumer.hooks.events import Event, What

_LEVELS = {
    What.RESTORING: logging.INFO,
    What.OPENED: logging.INFO,
    What.CLOSED: logging.INFO,
    What.REFUSED: logging.ERROR,
    What.ENGINE_UP: logging.INFO,
    What.ENGINE_RESTART: logging.INFO,
    What.ENGINE_DOWN: logging.WARNING,
    What.DEAD_LETTER: logging.WARNING,
    What.COMMIT_FAILED: logging.WARNING,
    What.JOB_FAILED: logging.WARNING,
    What.RETRY: logging.DEBUG,
    What.FIELD_DROPPED: logging.DEBUG,
}


def configure(log_format: Literal["human", "json"], level: str) -> None:
    """Send every log line of the process, the libraries' too, to standard error in one form."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    last: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(serializer=lambda line, **_: orjson.dumps(line, default=str).decode())
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    out = logging.StreamHandler(sys.stderr)
    out.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[out], force=True)
    for name in ("consumer", "__main__"):
        logging.getLogger(name).setLevel(level)


def log_listener() -> Callable[[Event], None]:
    """A listener that writes the events a person at 3 a.m. wants to see."""
    log = logging.getLogger("consumer.events")

    def listen(event: Event) -> None:
        level = _LEVELS.get(event.what)
        if level is not None and log.isEnabledFor(level):
            log.log(level, event.what.replace("_", " "), extra=_said(event))

    return listen


def _said(event: Event) -> dict[str, object]:
    said: dict[str, object] = {"topic": event.topic, "kind": event.kind, "reason": event.reason, "error": event.detail}
    if event.partition >= 0:
        said |= {"partition": event.partition}
    if event.what in {What.OPENED, What.CLOSED}:
        said |= {"offset": event.count}
    if event.what is What.RESTORING:
        said |= {"remaining": event.count}
    return {name: value for name, value in said.items() if value != ""}
