"""State and actions in another contract's words: pure functions, which `agents.fit` declares the use of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from playloop.core.contract import Contract
from playloop.core.conventions import Convention
from playloop.core.robots import GRIPPERS, POSE

STICKY = 15
"""Steps for which the Google robot's gripper goes on with a command."""
GRIPPER_NAMES = ("gripper", "opening")
AXES = POSE[3:]
TURNS = ("roll", "pitch", "yaw")
QUATERNION = ("quaternion_x", "quaternion_y", "quaternion_z", "quaternion_w")
OPENING, CLOSING = "gripper_opening", "gripper_closing"
DELTAS = ("osc-pose-delta", "ee-target-delta-pose", "ee-delta-pose")
"""Conventions of actions that are movements: where there are twice as many steps, each moves half as far."""
FINGERS = ("finger_left", "finger_right")
FINGER_REACH = 0.04
"""Metres that each of the Panda's fingers opens."""
FINGER_NAMES = ("finger_mean", "finger_opening")


# -- the state -------------------------------------------------------------------------------------------


def needed(name: str, names: Sequence[str]) -> tuple[str, ...]:
    """What an entry of a policy's state is made of, where the environment has these names."""
    if name in names:
        return (name,)
    if name in FINGER_NAMES:
        return FINGERS
    if name == "zero":
        return ()
    if name == CLOSING:
        return (OPENING,)
    return AXES if name in (*TURNS, *QUATERNION) else (name,)


def state_of(state: np.ndarray, names: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """The entries `wanted` of a state [S] with these names, float32 [wanted]; see `agents.fit.Fit.state`.

    Of the two quaternions of one rotation the one with w ≥ 0 is given: a policy that learned from the one
    acts badly on the other, by up to 40 points according to vla-eval's list of pitfalls.
    """
    known = {"zero": 0.0} | {name: float(value) for name, value in zip(names, state, strict=True)}
    if any(name in FINGER_NAMES and name not in known for name in wanted):
        left, right = (known[name] for name in FINGERS)  # the right one's joint counts downwards
        mean = (left - right) / 2
        known = {"finger_mean": mean, "finger_opening": float(np.clip(mean / FINGER_REACH, 0, 1)), **known}
    if any(name in (*TURNS, *QUATERNION) and name not in known for name in wanted):
        rotation = Rotation.from_rotvec([known[name] for name in AXES])
        turns = dict(zip(TURNS, rotation.as_euler("xyz"), strict=True))
        parts = dict(zip(QUATERNION, rotation.as_quat(canonical=True), strict=True))
        known = {**turns, **parts, **known}
    if OPENING in known:
        known[CLOSING] = 1.0 - known[OPENING]
    return np.array([known[name] for name in wanted], np.float32)


# -- the actions -----------------------------------------------------------------------------------------


def whole_times(ratio: float) -> int:
    """n for a ratio n ≥ 1, -n for 1/n, 0 for one that is neither.

    >>> whole_times(2.0), whole_times(1.0), whole_times(0.25), whole_times(1.5)
    (2, 1, -4, 0)
    """
    larger = max(ratio, 1 / ratio)
    if abs(larger - round(larger)) > 1e-6:
        return 0
    return round(larger) if ratio >= 1 or round(larger) == 1 else -round(larger)


def gripper_at(names: Sequence[str]) -> tuple[int, ...]:
    """Where a gripper stands among the names of an action; empty without one."""
    return tuple(index for index, name in enumerate(names) if name in GRIPPER_NAMES)


def turned(actions: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Actions [H, A] whose roll, pitch and yaw become axis times angle, of at most half a turn.

    They turn about the fixed axes x, y, z, in this order; the result is `transforms3d.euler2axangle`'s.
    """
    turns = [names.index(name) for name in TURNS]
    found = actions.copy()
    found[:, turns] = Rotation.from_euler("xyz", actions[:, turns]).as_rotvec()
    return found


def unit(contract: Contract) -> tuple[float, float] | None:
    """Metres and radians that an action's 1 moves and turns; None where actions are no movements."""
    action = contract.action
    if not isinstance(action, Convention) or action.id not in DELTAS:
        return None
    if action.id != "osc-pose-delta":
        return 1.0, 1.0
    return float(action.parameters["translation"]), float(action.parameters["rotation"])


def scaled(
    actions: np.ndarray, names: Sequence[str], said: tuple[float, float], meant: tuple[float, float]
) -> np.ndarray:
    """Actions [H, A] of one `unit` in another; their rotations are axis times angle."""
    found = actions.copy()
    for index, name in enumerate(names):
        if name not in GRIPPER_NAMES:
            kind = 0 if name in POSE[:3] else 1
            found[:, index] *= said[kind] / meant[kind]
    return found


def at_rate(actions: np.ndarray, contract: Contract, times: int) -> np.ndarray:
    """Actions [H, A] at the environment's rate: `times` as many, or for -n an n-th of them.

    Movements are spread over the steps, or added up; everything else is held, or the last counts. A rest of
    fewer than n actions is left out.
    """
    delta = getattr(contract.action, "id", "") in DELTAS
    moving = [i for i in range(actions.shape[1]) if delta and i not in gripper_at(contract.action_names)]
    if times > 1:
        found = np.repeat(actions, times, axis=0)
        found[:, moving] /= times
        return found
    if times == 1:
        return actions
    whole = len(actions) // -times
    grouped = actions[: whole * -times].reshape(whole, -times, -1)
    found = grouped[:, -1].copy()
    found[:, moving] = grouped[:, :, moving].sum(1)
    return found


# -- the gripper -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Grip:
    """What the Google robot's gripper remembers.

    Args:
        opening: that the policy chose last, None before its first action.
        command: that goes on.
        left: steps for which it does.
    """

    opening: float | None = None
    command: float = 0.0
    left: int = 0


def gripped(grip: Grip, values: np.ndarray, said: str, meant: str, binary: bool) -> tuple[Grip, np.ndarray]:
    """Gripper numbers [H] of one convention, an id of `GRIPPERS`, in another.

    Args:
        grip: what a relative gripper remembers.
        values: as the policy says them.
        said: the policy's convention.
        meant: the environment's.
        binary: open or close all the way, whichever end is nearer; exactly between them it closes.
    """
    opens, shuts = GRIPPERS[said]
    opening = (values - shuts) / (opens - shuts)
    if meant == "relative-closes-positive":
        found = np.empty(len(values))
        for step, value in enumerate(opening):
            grip, found[step] = relative_gripper(grip, float(value))
        return grip, found
    if binary:
        opening = np.where(opening > 0.5, 1.0, 0.0)
    opens, shuts = GRIPPERS[meant]
    return grip, shuts + (opens - shuts) * opening


def relative_gripper(grip: Grip, opening: float) -> tuple[Grip, float]:
    """Google robot: what is commanded → how much more closed than before, +1 closes, -1 opens.

    One step of a change is too short for the gripper to get there. A change of more than a half is therefore
    given again for `STICKY` steps in all, during which whatever else is commanded does not count.
    """
    change = 0.0 if grip.opening is None else grip.opening - opening
    command, left = (grip.command, grip.left) if grip.left else (change, 0)
    if not left and abs(change) > 0.5:
        left = STICKY
    left = max(left - 1, 0)
    return Grip(opening, command if left else 0.0, left), command
