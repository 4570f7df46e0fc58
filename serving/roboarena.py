"""RoboArena's websocket: the server says what it wants, and a request says what it is, `infer` or `reset`.

What is said first has exactly six fields, because upstream's client makes its configuration of them; the
protocol therefore has a path of its own, `/roboarena`. Source: robo-arena/roboarena, `policy_server.py`.
"""

from __future__ import annotations

from typing import Any

from playloop.core.contract import Contract
from playloop.core.wire import OPENPI, BadFrame
from playloop.serving.batcher import AgentFailed, Busy
from playloop.serving.link import Link
from playloop.serving.service import Draining, Seat, Service

PATH = "/roboarena"


def wants(contract: Contract) -> dict[str, Any]:
    """The six fields."""
    size = next(iter(contract.cameras.values()), None)
    return {
        "image_resolution": list(size) if size else None,
        "needs_wrist_camera": len(contract.cameras) > 1,
        "n_external_cameras": min(len(contract.cameras), 1),
        "needs_stereo_camera": False,
        "needs_session_id": False,
        "action_space": getattr(contract.action, "id", str(contract.action)),
    }


async def converse(link: Link, service: Service) -> None:
    """Serve a connection, which is one session, until it ends; behind an error, a text, it stays."""
    await link.send(OPENPI.pack(wants(service.contract)))
    seat = Seat()
    while True:
        data = await link.receive()
        with service.request():
            try:
                message = await link.unpack(OPENPI, data)
                endpoint = message.pop("endpoint", None) if isinstance(message, dict) else None
                if endpoint == "reset":
                    service.begin(seat)
                    await link.say("reset successful")
                elif endpoint == "infer":
                    found = await service.decide(seat, message, "roboarena")
                    await link.send(OPENPI.pack({"actions": found.actions}))
                else:
                    raise BadFrame("a request is a map with `endpoint`: infer or reset")
            except Draining:
                return await link.leave()
            except (BadFrame, Busy, AgentFailed) as error:
                await link.fault(str(error), error)
