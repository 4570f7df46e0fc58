"""The protocols by name, and which of them a server speaks."""

from __future__ import annotations

from urllib.parse import urlsplit

from playloop.agents.base import ConnectionLost, ServerFault
from playloop.agents.remote.groot import FlatGrootLink, GrootLink
from playloop.agents.remote.link import Address, Link, Socket
from playloop.agents.remote.oft import OftLink
from playloop.agents.remote.openpi import OpenPiLink
from playloop.agents.remote.roboarena import FIELDS, RoboArenaLink
from playloop.agents.remote.vla_eval import VlaEvalLink
from playloop.core.wire import OPENPI

PROTOCOLS: dict[str, type[Link]] = {
    "openpi": OpenPiLink,
    "vla-eval": VlaEvalLink,
    "oft": OftLink,
    "groot": GrootLink,
    "groot-flat": FlatGrootLink,
    "roboarena": RoboArenaLink,
}
SCHEMES = {"http": "oft", "https": "oft", "tcp": "groot"}
LISTENING = 3.0
"""Seconds in which a server of openpi's kind speaks first."""


def find_protocol(address: Address) -> str:
    """Which protocol the server speaks: openpi's and RoboArena's speak first, vla-eval's answers a greeting.

    Raises:
        OSError: nobody is there yet.
        ValueError: the address is of no protocol, or nobody there speaks one.
    """
    scheme = urlsplit(address.url).scheme
    if scheme == "grpc":
        raise ValueError(
            f"agent.url={address.url!r}: LeRobot's gRPC carries pickles, which run whatever they hold, and "
            "is not spoken here; run playloop.serving.minimal in LeRobot's environment instead"
        )
    if scheme in SCHEMES:
        return SCHEMES[scheme]
    if scheme not in ("ws", "wss"):
        raise ValueError(
            f"agent.url={address.url!r} names no protocol; write ws://, http:// or tcp:// before it"
        )
    socket = Socket(address, OPENPI)
    try:
        found = socket.receive(LISTENING)
    except ConnectionLost:
        return "vla-eval"
    except ServerFault:
        raise ValueError(f"{address.url} speaks a protocol that is not known; give agent.protocol") from None
    finally:
        socket.close()
    return "roboarena" if isinstance(found, dict) and set(found) == set(FIELDS) else "openpi"
