"""Requests to the server, and its errors translated once."""

import asyncio
import email.utils
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import openai

from consumer.errors import DeadLetter, EngineUnavailable, RetryLater
from schemas.headers import TRACEPARENT

Document = Mapping[str, Any]
_REFUSES_FOR_NOW = {429, 502, 503, 504}
_WORTH_ANOTHER_TRY = {408, 409, 425}
_FOR_EVERY_REQUEST = {401, 403, 404}


class TooLong(DeadLetter):
    """The prompt does not fit the model's context: it may, cut shorter."""

    def __init__(self) -> None:
        super().__init__("engine_error", "the server says that the prompt is too long for its model")


class Wire:
    """A client of one server, with a pool of connections. Nothing is retried here."""

    def __init__(self, base_url: str, api_key: str | None, timeout: float, connections: int) -> None:
        self.base_url = base_url.rstrip("/")
        self.slots = asyncio.Semaphore(connections)
        """Held by who sends: waiting for one is not part of a request's time."""
        self._timeout = timeout
        self._client = openai.AsyncOpenAI(
            base_url=self.base_url, api_key=api_key or "none", timeout=timeout, max_retries=0
        )

    async def post(self, path: str, body: Document, trace: str | None = None) -> Document:
        """The answer's document. `trace`: W3C `traceparent`. Raises EngineUnavailable, RetryLater or DeadLetter."""
        options: Any = {"headers": {TRACEPARENT: trace}} if trace else {}
        call = self._client.post(path, body=dict(body), cast_to=dict[str, Any], options=options)
        return await self._translated(call)

    async def get(self, path: str) -> Document:
        """As `post`."""
        return await self._translated(self._client.get(path, cast_to=dict[str, Any]))

    async def text(self, url: str) -> str:
        """A page of the server outside its API, such as its metrics; "" where there is none. Never raises."""
        with suppress(openai.APIError, TimeoutError):
            async with asyncio.timeout(self._timeout):
                return (await self._client.get(url, cast_to=str)) or ""
        return ""

    async def json(self, url: str, body: Document) -> Document | None:
        """A service of the server outside its API; None where there is none. Never raises."""
        with suppress(openai.APIError):
            return dict(await self._client.post(url, body=dict(body), cast_to=dict[str, Any]))
        return None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _translated(self, call: Any) -> Document:
        try:
            answer = await call
        except openai.APITimeoutError as error:
            raise RetryLater(f"no answer within {self._timeout:g} s", "engine_timeout") from error
        except openai.APIConnectionError as error:
            raise EngineUnavailable(f"{self.base_url} cannot be reached: {_cause(error)}") from error
        except openai.APIStatusError as error:
            raise fault_of(error) from error
        except (openai.OpenAIError, ValueError) as error:
            raise RetryLater(f"the server's answer cannot be read: {type(error).__name__}") from error
        if not isinstance(answer, Mapping):
            raise RetryLater("the server's answer is no JSON object")
        return answer


class Refused(DeadLetter):
    """The server refuses this request as it is, with its status and words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__("engine_error", f"the server refused the request with status {status}")
        self.status, self.words = status, words
        """The words may quote the request: they are shown at the start only, when no review is in it."""


class Forbidden(EngineUnavailable):
    """The server refuses every request: the key, the address or the model is wrong."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"the server refuses requests with status {status}")
        self.status, self.words = status, words


def fault_of(error: openai.APIStatusError) -> Exception:
    """What a status means for the request, or for all."""
    status, words = error.status_code, _words(error)
    if status in _FOR_EVERY_REQUEST:
        return Forbidden(status, words)
    if status in _REFUSES_FOR_NOW:
        wait = retry_after(error.response.headers, time.time())
        return EngineUnavailable(f"the server refuses requests for now, with status {status}", wait)
    if status in _WORTH_ANOTHER_TRY or status >= 500:  # noqa: PLR2004 - the server's own faults begin there
        return RetryLater(f"the server failed the request with status {status}")
    if "context length" in words.lower() or "context_length" in words.lower():
        return TooLong()
    return Refused(status, words)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait, as the server asks for: milliseconds, seconds or a date (RFC 9110, 10.2.3). `now`: Unix time."""
    with suppress(KeyError, ValueError):
        return max(0.0, float(headers["retry-after-ms"]) / 1000)
    given = headers.get("retry-after", "")
    with suppress(ValueError):
        return max(0.0, float(given))
    with suppress(ValueError, TypeError):
        return max(0.0, email.utils.parsedate_to_datetime(given).timestamp() - now)
    return None


def _words(error: openai.APIStatusError) -> str:
    body = error.body
    said = body.get("message") if isinstance(body, Mapping) else None
    return str(said or error.message)[:500]


def _cause(error: BaseException) -> str:
    return type(error.__cause__ or error).__name__
