"""Who may ask: on this machine everybody on it, elsewhere who has the token."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from playloop.rollouts.play.access import AccessCheck

SCHEMES = ("bearer", "api-key")


@dataclass(frozen=True)
class ServeAccess:
    """Checks requests.

    Args:
        loopback: the server listens to this machine only; then requests must also name it.
        token: wanted with every request, as `Authorization: Bearer …` or `Api-Key …`, or `?token=…`.
        origins: pages that may ask, of those that say where they come from. Programs send no origin.
    """

    loopback: bool = True
    token: str | None = None
    origins: tuple[str, ...] = ()

    def refusal(self, headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
        """Why a request is refused; None if it is not. The names of headers are in lower case."""
        if why := AccessCheck(self.loopback).refusal(headers, {}, origin=False):
            return why
        origin = headers.get("origin")
        if origin is not None and origin not in self.origins:
            return "pages of this origin may not ask; name it in origins=[…]."
        scheme, _, value = headers.get("authorization", "").partition(" ")
        given = value.strip() if scheme.lower() in SCHEMES else query.get("token", "")
        if not self.fits(given):
            return "the token is missing or wrong; send it as Authorization: Bearer TOKEN, or ?token=TOKEN."
        return None

    def fits(self, token: object) -> bool:
        """Whether this is the token, or none is wanted."""
        if self.token is None:
            return True
        return isinstance(token, str) and hmac.compare_digest(
            token.encode("utf-8", "replace"), self.token.encode()
        )
