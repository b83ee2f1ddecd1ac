"""`review-consumer run`: the service."""

import asyncio
import gc
import logging
import signal
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, NoReturn

import typer
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from consumer import settings as _settings
from consumer.cli.progress import run_loop
from consumer.errors import ConfigError, EngineDown
from consumer.hooks import logs
from consumer.hooks.http import serving
from consumer.kafka import admin
from consumer.pipeline.assembly import Assembly, assemble, choose_engine
from consumer.settings import Settings
from consumer.stream.place import Origin
from schemas.topics import topic_specs

log = logging.getLogger(__name__)

EXIT_FAILED = 1


class From(StrEnum):
    """Where lanes begin whose state and committed offset disagree."""

    STATE = "state"
    COMMITTED = "committed"
    BEGINNING = "beginning"


def run(
    *,
    origin: Annotated[
        From | None,
        typer.Option(
            "--from",
            help="For this start, where to go on with partitions whose state and committed offset disagree: where the "
            "state ends, at the committed offset, or from the beginning (what is known already is a duplicate).",
        ),
    ] = None,
) -> None:
    """Consume reviews until stopped by SIGTERM or SIGINT. Settings are environment variables: see `config`."""
    settings = _settings.load()
    _settings.require_bootstrap_servers(settings)
    logs.configure(settings.service.log_format, settings.service.log_level)
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    try:
        run_loop(_serve(settings, registry, origin.value if origin else None))
    except BaseExceptionGroup as group:  # a TaskGroup's: what ended it decides how we end
        _end(_leaves(group), group)
    except EngineDown as error:
        _end([error], error)


GC_THRESHOLD = 50_000, 20, 50
"""Objects made, and younger rounds, between two rounds of the garbage collector. What a record leaves behind has no
cycles; Python's own 700 objects are made by a handful of records, and cost a tenth of the throughput."""


async def _serve(settings: Settings, registry: CollectorRegistry, origin: Origin | None) -> None:
    parts = assemble(settings, choose_engine(settings), registry, await _checked_topics(settings), origin)
    gc.collect()
    gc.freeze()  # what is loaded by now stays: to look through it again and again costs more than a request's own work
    gc.set_threshold(*GC_THRESHOLD)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, parts.service.stop)
    with serving(settings.service.metrics_port, registry, parts.health, parts.lanes) as port:
        _announce(settings, parts, port)
        try:
            await parts.service.run()
        finally:
            await asyncio.to_thread(parts.close)
    log.info("stopped")


async def _checked_topics(settings: Settings) -> Mapping[str, int]:
    """Partition counts of the topics. Raises ConfigError where a topic is missing or wrong."""
    specs = topic_specs(settings.topics, settings.delivery.kafka_group_id)
    report = await admin.check(settings.kafka, specs, settings.kafka.request_timeout_seconds)
    for left_out in report.left_out:
        log.warning("not checked at this broker", extra={"check": left_out})
    if report.problems:
        raise ConfigError("\n".join(map(str, report.problems)))
    return report.partitions


def _announce(settings: Settings, parts: Assembly, port: int) -> None:
    said = {
        "engine": f"{parts.engine.name} ({parts.engine.model})",
        "delivery": settings.delivery.delivery,
        "group": settings.delivery.kafka_group_id,
        "brokers": settings.kafka.bootstrap_servers,
    }
    log.info("starting", extra=said | ({"metrics_port": port} if port else {}))


def _end(errors: list[BaseException], cause: BaseException) -> NoReturn:
    """A message where a person or an engine must act, the traceback where it is our fault."""
    messages = [str(error) for error in errors if isinstance(error, ConfigError)]
    if messages:
        raise ConfigError("\n".join(dict.fromkeys(messages))) from None
    if all(isinstance(error, EngineDown) for error in errors):
        log.error("the engine is down; every record waits in Kafka", extra={"error": str(errors[0])})
        raise typer.Exit(EXIT_FAILED)
    raise cause


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found.extend(_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return found
