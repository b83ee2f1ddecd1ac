"""The two ways in which a broker is not had."""

from __future__ import annotations


class Unavailable(Exception):  # noqa: N818 - named after what to do next: try another source, or skip
    """A broker cannot be had this way on this machine; the message says why, for a person. Try the next way."""


class BrokerFailed(RuntimeError):  # noqa: N818 - a state, not a kind of error
    """A broker that should work does not: it died, never answered, or the address given is wrong. Do not go on."""
