"""/metrics, /livez, /readyz and /debug/lanes, from a thread of its own: truthful also while the event loop is stuck."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from socketserver import ThreadingMixIn
from threading import Thread
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from consumer.errors import ConfigError
from consumer.hooks.health import Health
from consumer.hooks.pulled import Lanes
from schemas.codec import encode_document

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True  # a scrape in progress never holds up the stop


class _Quiet(WSGIRequestHandler):
    timeout = 10  # seconds; a client that sends nothing is dropped

    def log_message(self, *_: object) -> None:
        """Scrapes are not worth a log line."""


def application(registry: CollectorRegistry, health: Health, lanes: Lanes) -> "WSGIApplication":
    """The pages as a WSGI application."""
    metrics = make_wsgi_app(registry)
    checks: dict[str, Callable[[], tuple[bool, tuple[str, ...]]]] = {"/livez": health.live, "/readyz": health.ready}

    def answer(environ: dict[str, Any], start_response: "StartResponse") -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            pages: Iterable[bytes] = metrics(environ, start_response)
            return pages
        if path == "/debug/lanes":
            start_response("200 OK", [("Content-Type", "application/json")])
            return [encode_document({"lanes": [asdict(lane) for lane in lanes.last]})]
        if path not in checks:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"/metrics, /livez, /readyz, /debug/lanes\n"]
        good, reasons = checks[path]()
        status = "200 OK" if good else "503 Service Unavailable"
        start_response(status, [("Content-Type", "application/json")])
        return [encode_document({"ok": good, "reasons": reasons})]

    return answer


@contextmanager
def serving(port: int, registry: CollectorRegistry, health: Health, lanes: Lanes) -> Iterator[int]:
    """Serve on `port` of every interface (0: not at all) while inside; gives the port. ConfigError when it is taken."""
    if port == 0:
        yield 0
        return
    try:
        server = make_server("", port, application(registry, health, lanes), _Server, _Quiet)
    except OSError as error:
        raise ConfigError(f"METRICS_PORT={port} cannot be opened: {error.strerror}; choose another, or 0") from None
    thread = Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
