"""Structured logs to standard error: for people, or as JSON. No review text above DEBUG, no secrets."""

import logging
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

import orjson
import structlog

from consumer.hooks.events import Event, What
from schemas.headers import traceparent_of

OWN_LOGGERS = ("consumer", "__main__")
REPEAT_SECONDS = 10.0
KEPT_LINES = 500
PROGRESS_SECONDS = 5.0
"""Between two lines about a partition that restores."""

_LEVELS = {
    What.RESTORING: logging.INFO,
    What.RESTORED: logging.INFO,
    What.OPENED: logging.INFO,
    What.CLOSED: logging.INFO,
    What.REFUSED: logging.ERROR,
    What.LOST: logging.WARNING,
    What.ENGINE_UP: logging.INFO,
    What.ENGINE_RESTART: logging.INFO,
    What.ENGINE_DOWN: logging.WARNING,
    What.CACHE_DOWN: logging.WARNING,
    What.CACHE_UP: logging.INFO,
    What.DEAD_LETTER: logging.WARNING,
    What.BREAKER: logging.ERROR,
    What.COMMIT_FAILED: logging.WARNING,
    What.JOB_FAILED: logging.WARNING,
    What.JOB_PARKED: logging.ERROR,
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
    out.addFilter(Repeats(time.monotonic))
    logging.basicConfig(level=logging.WARNING, handlers=[out], force=True)
    for name in OWN_LOGGERS:
        logging.getLogger(name).setLevel(level)


class Repeats(logging.Filter):
    """Lets a library say the same thing once in REPEAT_SECONDS, and then how often it was said meanwhile.

    With its broker gone a Kafka client writes dozens of lines a second, and hides what else happens. Lines of this
    program itself all pass.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._said: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()
        """When a line was let through last, and how many were not since."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written. The text before its arguments decides what is the same."""
        if record.name.partition(".")[0] in OWN_LOGGERS:
            return True
        key, now = (record.name, str(record.msg)), self._clock()
        last, left_out = self._said.get(key, (-REPEAT_SECONDS, 0))
        if now - last < REPEAT_SECONDS:
            self._said[key] = last, left_out + 1
            return False
        self._said[key] = now, 0
        if len(self._said) > KEPT_LINES:
            self._said.popitem(last=False)
        if left_out:
            record.left_out = left_out
        return True


def log_listener(clock: Callable[[], float]) -> Callable[[Event], None]:
    """A listener that writes the events a person at 3 a.m. wants to see. `clock`: seconds, never going back."""
    log = logging.getLogger("consumer.events")
    progress = _Progress(clock)

    def listen(event: Event) -> None:
        level = _LEVELS.get(event.what)
        if level is not None and log.isEnabledFor(level) and progress.is_worth_a_line(event):
            log.log(level, _line(event), extra=_said(event))

    return listen


class _Progress:
    """A lane that restores tells of every poll: a line now and then will do."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._said: dict[tuple[str, int], float] = {}

    def is_worth_a_line(self, event: Event) -> bool:
        """Every other event is."""
        lane, now = (event.topic, event.partition), self._clock()
        if event.what is What.RESTORED:
            self._said.pop(lane, None)
            return event.count > 0
        if event.what is not What.RESTORING:
            return True
        last = self._said.setdefault(lane, now)
        if now - last < PROGRESS_SECONDS:
            return False
        self._said[lane] = now
        return True


def _line(event: Event) -> str:
    if event.what is What.BREAKER:
        return "too many records fail: no more are taken" if event.count else "records are taken again"
    return event.what.replace("_", " ")


def _said(event: Event) -> dict[str, object]:
    said: dict[str, object] = {"topic": event.topic, "kind": event.kind, "reason": event.reason, "error": event.detail}
    if event.partition >= 0:
        said |= {"partition": event.partition}
    if event.what in {What.OPENED, What.CLOSED}:
        said |= {"offset": event.count}
    if event.what is What.RESTORING:
        said |= {"remaining": event.count}
    if event.what is What.RESTORED:
        said |= {"records": event.count, "seconds": round(event.seconds, 3)}
    return {name: value for name, value in (said | _trace(event)).items() if value != ""}


def _trace(event: Event) -> dict[str, object]:
    """The trace of the one record that an event is about, where it came with one."""
    record = event.records[0] if len(event.records) == 1 else None
    given = traceparent_of(record.headers) if record else None
    return {"trace_id": given.split(b"-")[1].decode()} if given else {}
