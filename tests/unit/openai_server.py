"""A server that speaks just enough of OpenAI's API to refuse, fail and lack things on demand: no model is behind it."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, Mapping[str, Any], Mapping[str, str]]
Script = Callable[[str, Mapping[str, Any]], Reply]
"""(path, body) → status, document, headers."""


def said(content: str, **more: Any) -> Reply:
    """An ordinary chat answer."""
    choice = {"message": {"role": "assistant", "content": content}, "finish_reason": "stop", **more}
    return 200, {"choices": [choice], "usage": {"prompt_tokens": 40, "completion_tokens": 1}}, {}


def refused(status: int, words: str = "no", headers: Mapping[str, str] | None = None) -> Reply:
    """An error as OpenAI words it."""
    return status, {"error": {"message": words, "type": "x", "code": None}}, headers or {}


class Server:
    """Answers by its script; what it was asked is kept."""

    def __init__(self, script: Script) -> None:
        self.script, self.asked = script, list[tuple[str, Mapping[str, Any]]]()
        self.url = ""
        self.traces: list[str | None] = []
        """The `traceparent` of each request."""

    def reply(self, path: str, body: Mapping[str, Any]) -> Reply:
        """Its script's, but for the list of models."""
        self.asked.append((path, body))
        if path == "/v1/models":
            return 200, {"object": "list", "data": [{"id": "gemma", "object": "model"}]}, {}
        return self.script(path, body)


@contextmanager
def serving(script: Script) -> Iterator[Server]:
    """Hold a server at `server.url`, on the loopback."""
    server = Server(script)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            server.traces.append(self.headers.get("traceparent"))
            status, document, headers = server.reply(self.path, body)
            content = json.dumps(document).encode()
            self.send_response(status)
            for name, value in {"content-type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _answer  # noqa: N815 - http.server's own names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        server.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
