"""Why no broker answers, in words that a person can act on: for the messages of both sides."""

import asyncio
import socket
from contextlib import suppress

PROBE_SECONDS = 2.0


async def why_unreachable(bootstrap_servers: str | None, seconds: float = PROBE_SECONDS) -> str:
    """Knock on the first address and say what came: nothing there, unknown host, silence, or a door that opens."""
    host, port = first_address(bootstrap_servers or "")
    if not (host and port):
        return f"{bootstrap_servers!r} is not host:port"
    try:
        async with asyncio.timeout(seconds):
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
    return (
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
