"""From a client's words for an observation to ours: names of cameras, state and instruction.

The contract's own names always work (`images/<camera>` or `images` as a map, `state`, `instruction`); those
of the published pairs besides. Pictures of another size than the policy's are refused: whoever resizes them
decides what the policy sees, so the client, or the server's `resize=`, has to say how.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from playloop.agents.fit import Resize
from playloop.core.contract import Contract
from playloop.core.wire import BadFrame
from playloop.policies.resize import RESIZE

STATE = ("state", "states", "observation/state")
INSTRUCTION = ("instruction", "prompt", "task_description")
LETTERS = 2000
"""Most of an instruction."""
CAMERAS: dict[str, dict[str, tuple[str, ...]]] = {
    "libero": {
        "agentview": ("observation/image", "full_image", "image"),
        "robot0_eye_in_hand": ("observation/wrist_image", "wrist_image", "wrist"),
    },
}
"""Family of a contract → camera → what openpi, OpenVLA-OFT and vla-eval call it."""


def names_of(contract: Contract, camera: str) -> tuple[str, ...]:
    """Every key under which a camera's picture may come, the contract's first."""
    return (camera, *CAMERAS.get(contract.family, {}).get(camera, ()))


def words(contract: Contract) -> dict[str, Any]:
    """What metadata say about keys."""
    cameras = {camera: [f"images/{camera}", *names_of(contract, camera)] for camera in contract.cameras}
    return {"cameras": cameras, "state": list(STATE), "instruction": list(INSTRUCTION)}


def read_observation(
    message: Any, contract: Contract, reads: frozenset[str], resize: Resize | None = None
) -> dict[str, Any]:
    """An observation under the contract.

    Args:
        message: what came.
        contract: that the policy acts under.
        reads: what it looks at.
        resize: what to do with pictures of another size; None: refuse them.

    Raises:
        BadFrame: something is missing or of another form; names it.
    """
    if not isinstance(message, Mapping):
        raise BadFrame(f"an observation is a map, not {type(message).__name__}")
    found: dict[str, Any] = {
        "state": _state(message, contract),
        "instruction": _instruction(message),
    }
    if "images" in reads:
        nested = message.get("images")
        nested = nested if isinstance(nested, Mapping) else {}
        found["images"] = {
            camera: _picture(message, nested, contract, camera, resize) for camera in contract.cameras
        }
    if "privileged" in reads:
        if not isinstance(message.get("privileged"), Mapping):
            raise BadFrame("this agent reads the ground truth: send it as a map under `privileged`")
        found["privileged"] = dict(message["privileged"])
    return found


def _first(message: Mapping[str, Any], names: tuple[str, ...], what: str) -> Any:
    for name in names:
        if name in message:
            return message[name]
    raise BadFrame(f"there is no {what}: send it as {' or '.join(map(repr, names))}")


def _state(message: Mapping[str, Any], contract: Contract) -> np.ndarray:
    size = len(contract.state_names)
    if not size and not any(name in message for name in STATE):
        return np.zeros(0, np.float32)
    given = _first(message, STATE, "state")
    try:
        state = np.asarray(given)
    except ValueError:
        raise BadFrame("a state is a list of numbers") from None
    if state.dtype.kind not in "iuf" or state.shape != (size,):
        raise BadFrame(
            f"a state is {size} numbers ({', '.join(contract.state_names)}), not {state.dtype} "
            f"{list(state.shape)}"
        )
    if not np.isfinite(state).all():
        raise BadFrame("a state holds a number that is not finite")
    return state if state.dtype.kind == "f" else state.astype(np.float32)


def _instruction(message: Mapping[str, Any]) -> str:
    given = _first(message, INSTRUCTION, "instruction")
    if not isinstance(given, str) or not is_text(given, LETTERS):
        raise BadFrame(f"an instruction is a text of at most {LETTERS} letters")
    return given


def is_text(given: str, most: int) -> bool:
    """Whether it is as short and can be written: halves of letters, which JSON lets through, cannot."""
    return len(given) <= most and not any("\ud800" <= letter <= "\udfff" for letter in given)


def _picture(
    message: Mapping[str, Any],
    nested: Mapping[str, Any],
    contract: Contract,
    camera: str,
    resize: Resize | None,
) -> np.ndarray:
    names = names_of(contract, camera)
    every = {f"images/{camera}": message.get(f"images/{camera}")}
    every |= {name: nested[name] for name in names if name in nested}
    every |= {name: message[name] for name in names if name in message}
    image = next((value for value in every.values() if value is not None), None)
    if image is None:
        raise BadFrame(f"there is no picture of {camera}: send it as 'images/{camera}' or {names[-1]!r}")
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        said = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        raise BadFrame(f"a picture of {camera} is an array uint8 [H, W, 3], not {said}")
    height, width = contract.cameras[camera]
    if image.shape[:2] == (height, width):
        return image
    if resize is None:
        raise BadFrame(
            f"a picture of {camera} has {height} x {width} pixels, not {image.shape[0]} x {image.shape[1]}: "
            "draw it so, resize it yourself, or start the server with serving.resize=pad"
        )
    if 0 in image.shape:
        raise BadFrame(f"a picture of {camera} has no pixels")
    try:
        return RESIZE[resize](image, (height, width))
    except ValueError as error:  # of a way that only shrinks
        raise BadFrame(f"a picture of {camera}: {error}") from None
