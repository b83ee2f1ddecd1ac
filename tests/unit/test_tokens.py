"""Tokens: fetched in a thread, one for all, reused while good; what goes wrong is named, and no secret is."""

import asyncio
import base64
import json
import shlex
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from schemas.connection import KafkaConnection
from schemas.tokens import RENEW_AT, UNKNOWN_LIFE_SECONDS, NoToken, Token, TokenSource, by_command, by_url

NOW = 1_700_000_000.0


class Issuer:
    """Counts what it gives out; `now` is the clock."""

    def __init__(self, life: float | None) -> None:
        self.life, self.now, self.asked = life, 0.0, 0

    def fetch(self) -> Token:
        """The next token."""
        self.asked += 1
        return Token(f"t{self.asked}", self.life)

    def source(self) -> TokenSource:
        """A source of these."""
        return TokenSource(self.fetch, 5, lambda: self.now)


@pytest.mark.parametrize("life", [100.0, None])
async def test_a_token_is_used_for_four_fifths_of_its_life(life: float | None) -> None:
    """Then a new one is asked for; where it does not tell, its life is a minute."""
    issuer = Issuer(life)
    source = issuer.source()
    assert await source.token() == await source.token() == "t1"
    issuer.now = RENEW_AT * (life or UNKNOWN_LIFE_SECONDS) - 0.1
    assert await source.token() == "t1"
    issuer.now += 0.1
    assert await source.token() == "t2"


async def test_clients_that_ask_at_once_share_one() -> None:
    """A broker that comes back makes them all ask."""
    issuer = Issuer(100)
    source = issuer.source()
    assert set(await asyncio.gather(*(source.token() for _ in range(50)))) == {"t1"}


async def test_the_event_loop_goes_on_while_a_token_is_fetched_and_the_wait_is_bounded() -> None:
    """Even where the fetch breaks its promise."""
    release = threading.Event()

    def fetch() -> Token:
        release.wait(10)
        return Token("late", 1)

    source = TokenSource(fetch, -0.9)  # and the margin of a second
    try:
        with pytest.raises(NoToken, match="KAFKA_SASL_OAUTH_TIMEOUT_SECONDS"):
            await source.token()
    finally:
        release.set()


def test_equal_connections_share_a_source() -> None:
    """A member has a client a partition: they ask once."""
    given = {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_command": "a"}
    one, other = KafkaConnection.model_validate(given), KafkaConnection.model_validate(given)
    assert one.token_source() is other.token_source() is not None
    assert KafkaConnection.model_validate(given | {"sasl_oauth_token_command": "b"}).token_source() is not (
        one.token_source()
    )


def jwt(end: object) -> str:
    """A JSON Web Token that ends then."""
    claims = base64.urlsafe_b64encode(json.dumps({"exp": end}).encode()).decode().rstrip("=")
    return f"e30.{claims}.c2ln"


def python(code: str) -> str:
    """A command that runs it."""
    return shlex.join([sys.executable, "-c", code])


@pytest.mark.parametrize(
    ("printed", "life"), [(jwt(NOW + 60), 60), (jwt("soon"), None), ("opaque~token==", None), ("a.b.c", None)]
)
def test_what_a_command_prints_is_the_token(printed: str, life: float | None) -> None:
    """Its life is told by the claim exp, where it is a JSON Web Token."""
    token = by_command(python(f"print({printed!r})"), 30, lambda: NOW)()
    assert (token.text, token.life) == (printed, life)
    assert printed not in repr(token)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (python("print('two secret words')"), "printed 16 characters that are no token"),
        (python("pass"), "printed 0 characters"),
        (python(f"print({jwt(NOW - 90)!r})"), "over 90 s ago"),
        (python("print('secret'); raise SystemExit(4)"), "ended with status 4: run it by hand"),
        ("/no/such/command secret", r"\(/no/such/command\) cannot be run: No such file"),
    ],
)
def test_a_command_that_gives_no_token_is_named_and_what_it_printed_is_not(command: str, said: str) -> None:
    """The program and what happened; an argument or an output may be a secret."""
    with pytest.raises(NoToken, match=said) as caught:
        by_command(command, 30, lambda: NOW)()
    assert "secret" not in str(caught.value)
    assert "KAFKA_SASL_OAUTH_TOKEN_COMMAND" in str(caught.value)


def test_a_command_that_hangs_is_ended_with_all_that_it_started() -> None:
    """Its grandchild holds the pipe open: waiting for the output alone would wait for ever."""
    started = time.monotonic()
    with pytest.raises(NoToken, match=r"did not end within 0\.3 s"):
        by_command("sh -c 'sleep 60 & sleep 60'", 0.3)()
    assert time.monotonic() - started < 30


@contextmanager
def answering(status: int, body: bytes, headers: dict[str, str] | None = None) -> Iterator[str]:
    """A server that answers everything so."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("answer", "life"), [({"access_token": "abc", "expires_in": 300}, 300), ({"access_token": "abc"}, None)]
)
def test_a_url_gives_a_token_and_its_life(answer: dict[str, object], life: float | None) -> None:
    """As in RFC 6749 section 5.1."""
    with answering(200, json.dumps(answer).encode()) as url:
        token = by_url(url, "id", "secret", "kafka", 10)()
    assert (token.text, token.life) == ("abc", life)


@pytest.mark.parametrize(
    ("status", "body", "headers", "said"),
    [
        (401, b'{"error": "invalid_client"}', {}, r"HTTP 401 \(invalid_client\)"),
        (500, b"<html>", {}, "HTTP 500: check"),
        (302, b"", {"Location": "http://127.0.0.1:1/elsewhere"}, "HTTP 302"),
        (200, b"[]", {}, "without an access_token"),
        (200, b'{"access_token": "two words"}', {}, "without an access_token"),
    ],
)
def test_a_url_that_gives_no_token_is_told_from_a_wrong_secret(
    status: int, body: bytes, headers: dict[str, str], said: str
) -> None:
    """And a redirect is not followed: the secret would go along."""
    with answering(status, body, headers) as url, pytest.raises(NoToken, match=said) as caught:
        by_url(url, "id", "hunter2", None, 10)()
    assert "hunter2" not in str(caught.value)


def test_a_url_where_nobody_listens() -> None:
    """Is no reason to wait."""
    with pytest.raises(NoToken, match=r"cannot be asked: .*refused"):
        by_url("http://127.0.0.1:1", "id", "secret", None, 10)()
