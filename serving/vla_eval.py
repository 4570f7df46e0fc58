"""vla-eval's protocol, version 1: a client greets, then an episode a time, and an action an observation.

The agent decides anew when the actions to be executed of its last plan are given out. The numbers of a task
(suite, task_id, episode_idx, seed) are the episode's identity, so that the same task gets the same actions.
Behind an error, a message, the connection goes on. Source: vla-eval 0.8.0, `model_servers/serve.py`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np

from playloop.agents.remote.vla_eval import VERSION
from playloop.core.contract import Contract
from playloop.core.wire import VLA_EVAL, BadFrame
from playloop.serving.batcher import AgentFailed, Busy
from playloop.serving.link import Link, pause
from playloop.serving.service import Draining, Seat, Service

GRIPPERS = {"closes-positive": "binary_close_positive", "opens-positive": "binary_close_negative"}
"""A gripper's convention → what vla-eval calls it."""


def greets(data: bytes) -> bool:
    """Whether a first frame is one of vla-eval's; whatever is wrong with it is told later."""
    try:
        found = VLA_EVAL.unpack(data)
    except BadFrame:
        return False
    return isinstance(found, dict) and "type" in found and "payload" in found


def specification(contract: Contract) -> dict[str, Any]:
    """What LIBERO's benchmark is told: what to send, and what actions mean; others are told nothing."""
    if contract.family != "libero":
        return {}
    gripper = GRIPPERS.get(getattr(contract.gripper, "id", ""), "raw")
    picture = {"name": "image", "dims": 0, "format": "rgb_hwc_uint8"}
    cameras = ("agentview", "wrist")[: len(contract.cameras)]
    state = {"name": "state", "dims": 8, "format": "eef_pos3_axisangle3_gripper2"}
    return {
        "observation_params": {
            "send_wrist_image": len(contract.cameras) > 1,
            "send_state": bool(contract.state_names),
            "quat_no_antipodal": True,  # as the environment's own state: no choice between q and -q
        },
        "action_spec": {
            "position": {"name": "position", "dims": 3, "format": "delta_xyz", "range": [-1, 1]},
            "rotation": {"name": "rotation", "dims": 3, "format": "axis_angle", "range": [-3.15, 3.15]},
            "gripper": {"name": "gripper", "dims": 1, "format": gripper, "range": [-1, 1]},
        },
        "observation_spec": {
            **dict.fromkeys(cameras, picture),
            **({"state": state} if contract.state_names else {}),
            "language": {"name": "language", "dims": 0, "format": "language"},
        },
    }


class Course:
    """One client: its place, and the actions of its plan that are still to be given."""

    def __init__(self, service: Service) -> None:
        self.service, self.seat = service, Seat()
        self.ahead: deque[np.ndarray] = deque()

    def begin(self, task: Any) -> None:
        """Another episode; raises BadFrame where its numbers are none."""
        self.ahead.clear()
        self.service.begin(self.seat, _identity(task) if isinstance(task, Mapping) else None)

    async def act(self, payload: Mapping[str, Any]) -> np.ndarray:
        """The action [A] for an observation."""
        if not self.ahead:
            found = await self.service.decide(self.seat, payload, "vla-eval")
            self.ahead.extend(found.actions[: self.service.execute])
        return self.ahead.popleft()


def _identity(task: Mapping[str, Any]) -> dict[str, Any] | None:
    """The identity in a task; None where it tells no suite."""
    if not isinstance(task.get("suite"), str):
        return None
    numbers = {
        "task": task.get("task_id", 0),
        "init": task.get("episode_idx", 0),
        "seed": task.get("seed", 0),
    }
    return {"episode": {"suite": task["suite"], **numbers}}


async def converse(link: Link, service: Service, first: bytes) -> None:
    """Serve a connection until it ends."""
    course, data = Course(service), first
    while True:
        sequence = 0
        with service.request():
            try:
                message = await link.unpack(VLA_EVAL, data)
                if not isinstance(message, dict) or not isinstance(message.get("payload"), dict):
                    raise BadFrame("a message of vla-eval is a map with `type`, `payload` and `seq`")
                found = message.get("seq")
                sequence = found if type(found) is int and 0 <= found < 2**63 else 0
                reply = await _answer(course, message.get("type"), message["payload"])
            except Draining:
                return await link.leave()
            except (BadFrame, Busy, AgentFailed) as error:
                await pause(error)
                reply = ("error", {"error": str(error)})
            if reply is not None:
                kind, payload = reply
                answer = {"type": kind, "payload": payload, "seq": sequence, "timestamp": time.time()}
                await link.send(VLA_EVAL.pack(answer))
        data = await link.receive()


async def _answer(course: Course, kind: Any, payload: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Type and payload of what is answered; None where nothing is."""
    service = course.service
    if kind == "hello":
        facts = {"harness_version": f"playloop {version('playloop')}", "protocol_version": VERSION}
        facts |= {"model_server": service.name, "capabilities": {}}
        return "hello", facts | service.metadata() | specification(service.contract)
    if kind == "observation":
        return "action", {"actions": await course.act(payload)}
    if kind in ("episode_start", "episode_end"):
        course.begin(payload.get("task") if kind == "episode_start" else None)
    elif kind != "error":
        raise BadFrame(f"vla-eval has no message of type {str(kind)[:40]!r}")
    return None
