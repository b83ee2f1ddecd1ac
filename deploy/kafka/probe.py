"""Asking a broker whether it is there, and finding a port for one."""

from __future__ import annotations

import contextlib
import secrets
import socket
import struct
import time

from deploy.kafka.errors import BrokerFailed

# Below the ranges that systems give to outgoing connections (32768 and up on Linux, 49152 and up on macOS): a client
# that keeps dialling a stopped broker's port from the same range can, on one machine, connect to itself and hold the
# port.
_FIRST_PORT, _LAST_PORT = 20_000, 32_000
_HIGHEST_PORT = 65_535

# An ApiVersions request, version 0, correlation id 1, no client id; the one request that a broker answers before
# anything else, in every version (https://kafka.apache.org/protocol#The_Messages_ApiVersions).
_API_VERSIONS = struct.pack(">hhih", 18, 0, 1, -1)
_REPLY_HEAD = struct.Struct(">iih")  # length, correlation id, error code


def answers(bootstrap_servers: str, timeout: float) -> bool:
    """Say whether one of `host:port,host:port` answers a Kafka request, giving each at most about `timeout` seconds.

    Speaks plaintext only, as the tests do. Raises BrokerFailed where an address cannot be read.
    """
    return any(_answers(host, port, timeout) for host, port in addresses(bootstrap_servers))


def answers_within(bootstrap_servers: str, seconds: float) -> bool:
    """As `answers`, asked again until `seconds` are over."""
    deadline = time.monotonic() + seconds
    while not answers(bootstrap_servers, min(2.0, seconds)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def addresses(bootstrap_servers: str) -> list[tuple[str, int]]:
    """Split `host:port,[::1]:port` into pairs; raises BrokerFailed, naming the part that is not host:port."""
    return [_address(part.strip()) for part in bootstrap_servers.split(",")]


def free_port(avoid: int | None = None) -> int:
    """Find a TCP port in 20000..31999 that nothing listens on, other than `avoid`."""
    while (port := _FIRST_PORT + secrets.randbelow(_LAST_PORT - _FIRST_PORT)) == avoid or not is_free(port):
        pass
    return port


def is_free(port: int) -> bool:
    """Say whether a server could listen on 127.0.0.1 and on every address at this port now."""
    return _can_bind("127.0.0.1", port) and _can_bind("", port)


def _can_bind(host: str, port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Java does: closed connections don't count
        with contextlib.suppress(OSError):
            listener.bind((host, port))
            return True
    return False


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > _HIGHEST_PORT:
        raise BrokerFailed(f"KAFKA_BOOTSTRAP_SERVERS: {text!r} is not host:port")
    return host.strip("[]"), int(port)


def _answers(host: str, port: int, timeout: float) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout) as connection:
        connection.sendall(struct.pack(">i", len(_API_VERSIONS)) + _API_VERSIONS)
        head = _receive(connection, _REPLY_HEAD.size)
        return len(head) == _REPLY_HEAD.size and _REPLY_HEAD.unpack(head)[1:] == (1, 0)
    return False


def _receive(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size and (more := connection.recv(size - len(received))):
        received += more
    return received
