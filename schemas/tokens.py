"""Bearer tokens for SASL OAUTHBEARER, printed by a command or given by a URL, and reused while they are good.

Getting one blocks, so it is done in a thread, by one thread for all clients of a connection: a cluster that comes back
makes every client ask at once, and one token does for all. Nothing here logs, and no message holds a token or a secret.
"""

import asyncio
import base64
import os
import re
import shlex
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

RENEW_AT = 0.8
"""The share of its life after which a token is not used to log in again."""
UNKNOWN_LIFE_SECONDS = 60.0
"""Life of a token that does not tell: it is asked for anew at most so often."""
MARGIN_SECONDS = 1.0
"""What the way to the thread and back may take beside the fetch."""
MAX_ANSWER_BYTES = 256 * 1024
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
"""b64token, RFC 6750 section 2.1."""


class NoToken(OSError):  # noqa: N818 - the state it tells of
    """No token can be had: the message says why, and what to look at.

    An OSError as a broken connection is one: Kafka's clients then try to log in again, and do not die of it.
    """


@dataclass(frozen=True, slots=True)
class Token:
    """A token, and the seconds that it is good for from when it was asked for; None: it does not tell."""

    text: str = field(repr=False)
    life: float | None = None


class TokenSource:
    """Tokens for the clients of one connection. `fetch` blocks for at most `seconds` and raises NoToken."""

    def __init__(self, fetch: Callable[[], Token], seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch, self._seconds, self._clock = fetch, seconds, clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kafka-token")
        self._held = ""
        self._until = float("-inf")

    async def token(self) -> str:
        """A token to log in with. Raises NoToken, within `seconds` and a little more."""
        if self._is_good():
            return self._held
        getting = asyncio.get_running_loop().run_in_executor(self._thread, self._renewed)
        try:
            async with asyncio.timeout(self._seconds + MARGIN_SECONDS):
                return await getting
        except TimeoutError:
            raise NoToken(f"no token within {self._seconds:g} s (KAFKA_SASL_OAUTH_TIMEOUT_SECONDS)") from None

    def _is_good(self) -> bool:
        return self._clock() < self._until

    def _renewed(self) -> str:
        """Called in the one thread: those who queued behind a fetch find its token."""
        if not self._is_good():
            asked = self._clock()
            token = self._fetch()
            life = UNKNOWN_LIFE_SECONDS if token.life is None else token.life
            self._held, self._until = token.text, asked + RENEW_AT * life
        return self._held


def by_command(command: str, seconds: float, wall: Callable[[], float] = time.time) -> Callable[[], Token]:
    """Fetch by a command that prints a token. It is split as a shell would, and run without one."""
    arguments = shlex.split(command)

    def fetch() -> Token:
        printed = _printed(arguments, seconds).decode("ascii", "replace").strip()
        name = f"KAFKA_SASL_OAUTH_TOKEN_COMMAND ({arguments[0]})"
        if not _TOKEN.fullmatch(printed):
            raise NoToken(f"{name} printed {len(printed)} characters that are no token: nothing else may be printed")
        life = _life_of_jwt(printed, wall())
        if life is not None and life <= 0:
            raise NoToken(f"{name} printed a token that was over {-life:.0f} s ago: an old one, or a wrong clock?")
        return Token(printed, life)

    return fetch


def by_url(url: str, client_id: str, secret: str, scope: str | None, seconds: float) -> Callable[[], Token]:
    """Fetch by the client credentials grant, RFC 6749 section 4.4; id and secret go as HTTP Basic, section 2.3.1."""
    pair = ":".join(map(urllib.parse.quote_plus, (client_id, secret)))
    form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
    request = urllib.request.Request(  # noqa: S310 - the settings allow http and https only
        url,
        data=urllib.parse.urlencode(form).encode(),
        headers={
            "Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}",
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        },
    )
    return lambda: _token_of(_answer(request, seconds))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected request would take the secret along to somewhere else."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none."""


def _answer(request: urllib.request.Request, seconds: float) -> bytes:
    name = "KAFKA_SASL_OAUTH_TOKEN_URL"
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=seconds) as answer:
            return bytes(answer.read(MAX_ANSWER_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            code = _error_code(error.read(MAX_ANSWER_BYTES))
        raise NoToken(f"{name} answered HTTP {error.code}{code}: check the id, the secret and the scope") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise NoToken(f"{name} cannot be asked: {reason}") from None


def _token_of(answer: bytes) -> Token:
    """Read the answer of RFC 6749 section 5.1."""
    document = _json(answer)
    text, life = document.get("access_token"), document.get("expires_in")
    if not (isinstance(text, str) and _TOKEN.fullmatch(text)):
        raise NoToken("KAFKA_SASL_OAUTH_TOKEN_URL answered without an access_token: is it the token endpoint?")
    return Token(text, float(life) if isinstance(life, int | float) else None)


def _error_code(answer: bytes) -> str:
    """The `error` of RFC 6749 section 5.2, such as invalid_client."""
    code = _json(answer).get("error")
    return f" ({code})" if isinstance(code, str) and re.fullmatch(r"[a-z_]{1,40}", code) else ""


def _printed(arguments: Sequence[str], seconds: float) -> bytes:
    name = f"KAFKA_SASL_OAUTH_TOKEN_COMMAND ({arguments[0]})"
    try:
        process = subprocess.Popen(  # noqa: S603 - the operator's own command, run for that
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what it says there may hold a secret
            start_new_session=True,  # so that it can be ended with all that it started
        )
    except OSError as error:
        raise NoToken(f"{name} cannot be run: {error.strerror}") from None
    with process:
        try:
            printed, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise NoToken(f"{name} did not end within {seconds:g} s: run it by hand to see why") from None
    if process.returncode != 0:
        raise NoToken(f"{name} ended with status {process.returncode}: run it by hand to see why")
    return printed


def _life_of_jwt(token: str, now: float) -> float | None:
    """Seconds until the `exp` of a JSON Web Token (RFC 7519), at `now`; None where the token is none, or has none."""
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, claims, signature
        return None
    with suppress(ValueError):
        end = _json(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))).get("exp")
        return end - now if isinstance(end, int | float) else None
    return None


def _json(text: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}
