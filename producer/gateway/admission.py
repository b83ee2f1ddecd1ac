"""How much is at work at once: pure."""

import hashlib
import hmac
from collections.abc import Iterable


class Room:
    """Requests and the bytes of their bodies, both bounded. What was taken is given back, once."""

    def __init__(self, max_requests: int, max_bytes: int) -> None:
        self._max_requests, self._max_bytes = max_requests, max_bytes
        self.requests = 0
        self.bytes = 0

    def enter(self) -> bool:
        """Take a request's place; False where there is none."""
        if self.requests >= self._max_requests:
            return False
        self.requests += 1
        return True

    def grow(self, size: int) -> bool:
        """Take room for more bytes of a body; False where there is none."""
        if self.bytes + size > self._max_bytes:
            return False
        self.bytes += size
        return True

    def leave(self, size: int) -> None:
        """Give back a request's place, and the bytes that it took."""
        self.requests -= 1
        self.bytes -= size


class Keys:
    """API keys, compared in constant time: neither length nor place of a difference can be measured."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = tuple(_digest(key.encode()) for key in keys)

    @property
    def asked_for(self) -> bool:
        """Whether a key is needed at all."""
        return bool(self._digests)

    def accept(self, given: bytes) -> bool:
        """Whether this is one of the keys; all are compared, whichever it is."""
        digest = _digest(given)
        return sum(hmac.compare_digest(digest, known) for known in self._digests) > 0


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
