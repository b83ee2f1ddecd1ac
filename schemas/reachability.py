"""Why no broker answers, in words that a person can act on: for the messages of both sides."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

from schemas.tokens import NoToken

PROBE_SECONDS = 2.0

Dial = Callable[[str, int], Awaitable[None]]
"""Connects to host and port, logs in, asks one thing and closes: raises whatever goes wrong."""


class LogInRefused(Exception):  # noqa: N818 - the state it tells of
    """The broker answers, and does not let this client in; the message is the broker's."""


async def why_unreachable(
    bootstrap_servers: str | None, dial: Dial | None = None, log_in_seconds: float = PROBE_SECONDS
) -> str:
    """Knock on the first address and say what came: nothing there, unknown host, silence, or a door that opens.

    Behind an open door `dial` finds out what the broker has against this client. At most PROBE_SECONDS and
    `log_in_seconds`.
    """
    host, port = first_address(bootstrap_servers or "")
    if not (host and port):
        return f"{bootstrap_servers!r} is not host:port"
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return f"{host}:{port} is silent: a firewall, or the wrong address"
    except socket.gaierror:
        return f"the host name {host} is not known here"
    except (OSError, OverflowError) as error:
        return f"nothing listens at {host}:{port} ({type(error).__name__})"
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    found = await _refusal(dial, host, port, log_in_seconds) if dial else None
    return found or (
        f"{host}:{port} accepts connections, but does not answer as a Kafka broker: "
        "check KAFKA_SECURITY_PROTOCOL and the credentials"
    )


def first_address(bootstrap_servers: str) -> tuple[str, int]:
    """Host and port of the first address, the port 9092 where none is given; ("", 0) where there is none."""
    first = bootstrap_servers.split(",", 1)[0].strip()
    host, colon, port = first.rpartition(":")
    if not colon:
        host, port = first, "9092"
    return (host.strip("[]"), int(port)) if host and port.isdigit() else ("", 0)


async def _refusal(dial: Dial, host: str, port: int, seconds: float) -> str | None:
    """What the broker has against this client, None where nothing tells."""
    try:
        async with asyncio.timeout(seconds):
            await dial(host, port)
    except Exception as error:  # noqa: BLE001 - whatever it is: it is looked at for its causes only
        return next(filter(None, (_said(cause, host, port) for cause in _causes(error))), None)
    return f"{host}:{port} lets this client in now: it was starting, overloaded, or refused for a moment"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and those behind it."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _said(error: BaseException, host: str, port: int) -> str | None:
    if isinstance(error, NoToken):
        return str(error)
    if isinstance(error, LogInRefused):
        return f"{host}:{port} refuses the log-in: {error}; check KAFKA_SASL_..."
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {host}:{port} is not trusted: {error.verify_message}; check KAFKA_SSL_CAFILE"
    if isinstance(error, ssl.SSLError):
        said = (error.reason or str(error)).lower().replace("_", " ")
        return f"no TLS with {host}:{port}: {said}; check KAFKA_SECURITY_PROTOCOL and KAFKA_SSL_CERTFILE"
    return None
