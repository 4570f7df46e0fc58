"""OpenVLA-OFT's `POST /act`: an observation in JSON with json-numpy's arrays, a chunk of actions back.

A body may also be wrapped, {"encoded": "<the JSON>"}, as OFT's own client sends it. OFT's policies say how
far LIBERO's gripper is to be open, and its clients turn that round; so ours do, unless the request has a key
`playloop`, which is the episode's identity, or null. Source: moojink/openvla-oft, `vla-scripts/deploy.py`.
"""

from __future__ import annotations

import asyncio
import json

import numpy as np
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from playloop.agents.translation import Grip, gripped, gripper_at
from playloop.core.contract import Contract
from playloop.core.wire import JSON, BadFrame
from playloop.serving.batcher import AgentFailed, Busy
from playloop.serving.link import SMALL, pause
from playloop.serving.service import Draining, Seat, Service

UNPROCESSABLE, BUSY, FAILED, LEAVING = 422, 429, 500, 503


async def act(request: Request, service: Service, most: int) -> Response:
    """Answer one request; each is an episode of its own unless it says otherwise."""
    with service.request():
        try:
            data = await body(request, most)
            message, wrapped = await read(data)
            ours = "playloop" in message
            if service.memory:
                raise BadFrame(
                    "this agent remembers its episode, and /act tells of none: ask it by websocket"
                )
            found = await service.decide(Seat(), message, "oft")
        except ClientDisconnect:
            return Response(status_code=UNPROCESSABLE)
        except BadFrame as error:
            await pause(error)
            return PlainTextResponse(str(error), UNPROCESSABLE)
        except Busy as error:
            return PlainTextResponse(str(error), LEAVING if isinstance(error, Draining) else BUSY)
        except AgentFailed as error:
            return PlainTextResponse(str(error), FAILED)
        actions = found.actions if ours else opening(found.actions, service.contract)
        packed = JSON.pack(actions)
        return Response(json.dumps(packed.decode()) if wrapped else packed, media_type="application/json")


async def body(request: Request, most: int) -> bytes:
    """A request's body; raises BadFrame if it is too large."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise BadFrame(f"a request has at most {most} bytes")
        parts.append(part)
    return b"".join(parts)


async def read(data: bytes) -> tuple[dict, bool]:
    """A request, and whether it was wrapped."""
    message, wrapped = await _map(data), False
    if isinstance(message.get("encoded"), str):
        message, wrapped = await _map(message["encoded"].encode("utf-8", "surrogatepass")), True
    return message, wrapped


async def _map(data: bytes) -> dict:
    found = JSON.unpack(data) if len(data) <= SMALL else await asyncio.to_thread(JSON.unpack, data)
    if not isinstance(found, dict):
        raise BadFrame(f"an observation is a map, not {type(found).__name__}")
    return found


def opening(actions: np.ndarray, contract: Contract) -> np.ndarray:
    """Actions [H, A] with LIBERO's gripper from 0, shut, to 1, open; those of other robots stay."""
    said = getattr(contract.gripper, "id", "")
    if contract.family != "libero" or said != "closes-positive":
        return actions
    found = np.array(actions, np.float32)
    for at in gripper_at(contract.action_names):
        _, found[:, at] = gripped(Grip(), found[:, at].astype(float), said, "opening", binary=False)
    return found
