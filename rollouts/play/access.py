"""Who may talk to the server, and how much."""

from __future__ import annotations

import hmac
import ipaddress
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

MESSAGES = 150.0
"""Messages a second that a page may send: input of every display frame, and answers to frames."""
BURST = 300.0
"""Most of them that are saved up."""


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine only."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class AccessCheck:
    """Checks the host, origin and token of requests.

    Args:
        loopback: the server listens to this machine only; then requests must also *name* this machine, so
            that no page can reach it under a name of its own (DNS rebinding).
        token: wanted with every request, if there is one.
    """

    loopback: bool
    token: str | None = None

    def refusal(
        self, headers: Mapping[str, str], query: Mapping[str, str], origin: bool = True
    ) -> str | None:
        """Why a request is refused; None if it is not. With `origin` its Origin header has to be ours.

        The names of headers are in lower case.
        """
        host = headers.get("host", "")
        if self.loopback and not is_loopback(_name(host)):
            return f"this server answers to localhost only; open it as http://localhost, not {host[:80]!r}."
        found = headers.get("origin")
        if origin and (found is None or found.partition("://")[2] != host):
            return "the page that asks is not ours: its origin is another."
        if self.token is not None and not hmac.compare_digest(
            query.get("token", "").encode(), self.token.encode()
        ):
            return "the token is missing or wrong; open the address that the server printed."
        return None


def _name(host: str) -> str:
    """A Host header without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


class RateLimit:
    """A limit on messages: a bucket that fills at a steady rate (token bucket)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._left, self._at = BURST, clock()

    def allow(self) -> bool:
        """Count one more message; False if it is beyond the limit."""
        now = self._clock()
        self._left = min(BURST, self._left + MESSAGES * (now - self._at))
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
