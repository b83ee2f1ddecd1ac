"""HTTP by hand, over plain sockets: for callers that are slow, broken, or gone before the answer."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection of one's own; closed at the end, whatever state it is in."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def head(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    """The first lines of a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: test", "Connection: close"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode()


async def call(
    port: int, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
) -> Reply:
    """One request, to its end; a body that is no bytes goes as JSON."""
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", "Content-Length": str(len(content))} | dict(headers or {})
    async with asyncio.timeout(SECONDS), connected(port) as (reader, writer):
        writer.write(head(method, path, sent) + content)
        return await read_reply(reader)


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Status and headers, names in small letters."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = (line.split(": ", 1) for line in lines[1:] if line)
    return int(lines[0].split()[1]), {name.lower(): value for name, value in pairs}


async def read_reply(reader: asyncio.StreamReader) -> Reply:
    """A response to its end."""
    status, headers = await read_head(reader)
    body = await reader.read()
    if headers.get("transfer-encoding") == "chunked":
        body = _unchunked(body)
    return Reply(status, headers, body)


def events(body: bytes) -> list[dict[str, str]]:
    """The events of a stream, comments left out."""
    blocks = [block for block in body.decode().split("\n\n") if block and not block.startswith(":")]
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]


def _unchunked(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        whole += rest[: int(size, 16)]
        body = rest[int(size, 16) + 2 :]
    return whole
