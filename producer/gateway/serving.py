"""The gateway as a process: its socket, its server, its end."""

import asyncio
import gc
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from producer.errors import CannotGoOn
from producer.gateway.app import create_app
from producer.gateway.parts import running
from producer.settings import GatewaySettings, Settings

BACKLOG = 1024
KEEP_ALIVE_SECONDS = 30
"""Of an idle connection."""


class Server(uvicorn.Server):
    """Stops on the signals that we hand it: uvicorn's own way kills the process before it has disconnected."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take SIGTERM and SIGINT; the second one ends it without waiting for requests."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


async def serve(settings: Settings, gateway: GatewaySettings, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; requests at work are finished in GATEWAY_SHUTDOWN_SECONDS. Raises CannotGoOn."""
    with _listening(gateway) as listener:
        async with running(settings, gateway) as parts:
            config = uvicorn.Config(
                create_app(parts),
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                limit_concurrency=gateway.max_connections,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=max(1, round(gateway.shutdown_seconds)),
            )
            gc.collect()
            gc.freeze()  # what is loaded by now stays: it need not be looked through again and again
            host, port = listener.getsockname()[:2]
            announce(f"http://{host}:{port}")
            await Server(config).serve([listener])


@contextmanager
def _listening(gateway: GatewaySettings) -> Iterator[socket.socket]:
    try:
        listener = socket.create_server((gateway.host, gateway.port), backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CannotGoOn(
            f"the gateway cannot listen on {gateway.host}:{gateway.port} (GATEWAY_HOST, GATEWAY_PORT): {reason}"
        ) from None
    with listener:
        yield listener
