"""The fit between an environment and a policy that was made for another contract of the same robot.

What differs is declared, not programmed: how pictures are called, how large they are and how they lie, what
the state holds and in which order, what the gripper's number means, about which axes an action turns, at
which rate the policy acts, and how it is asked. A fit gives the contract under which the policy sees and
moves the robot, translates what it is shown, and its actions back. What cannot be translated is one sentence
before the first step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from string import Formatter
from typing import Any, Literal

import numpy as np

from playloop.agents.translation import (
    TURNS,
    Grip,
    at_rate,
    gripped,
    gripper_at,
    needed,
    scaled,
    state_of,
    turned,
    unit,
    whole_times,
)
from playloop.core.annotations import Count, Name, Positive
from playloop.core.checked import checked
from playloop.core.contract import Contract
from playloop.core.conventions import Convention, altered
from playloop.core.kinds import kind
from playloop.core.robots import GRIPPERS, POSE
from playloop.policies.resize import RESIZE, check_shrinks

Resize = Literal["lanczos", "border", "area", "pad"]


@kind("view")
@checked
class View:
    """One picture as the policy wants it.

    Args:
        camera: of the environment.
        size: height and width; None: as it comes.
        resize: "pad" keeps the ratio and fills up with black, as openpi's client does; the others are in
            `policies.resize.RESIZE`.
        rotate: degrees by which it is turned, counterclockwise, before that.
    """

    camera: Name
    size: tuple[Count, Count] | None = None
    resize: Resize = "pad"
    rotate: Literal[0, 90, 180, 270] = 0

    def show(self, image: np.ndarray) -> np.ndarray:
        """uint8 [H, W, 3] → [height, width, 3]."""
        turned = np.rot90(image, self.rotate // 90)
        if self.size is None:
            return np.ascontiguousarray(turned)
        return RESIZE[self.resize](np.ascontiguousarray(turned), self.size)

    def shape(self, camera: tuple[int, int]) -> tuple[int, int]:
        """Height and width of what `show` gives."""
        return self.size or (camera if self.rotate % 180 == 0 else camera[::-1])


@kind("fit")
@checked
class Fit:
    """What a policy was made for, where the environment has something else; None and empty: the same.

    Args:
        robot: family of the environments that it is for; None: any.
        family: of the policy's contract, where checkpoints know the robot under another name.
        cameras: the policy's name of a picture → what it is made of.
        tells_resize: whether the policy's contract says how its pictures were resized, as those of Bridge's
            and Fractal's policies do; it then has to be in this way.
        state: what the policy is told, in its order: finger_mean (metres) or finger_opening (0 shut to 1
            open) where there are two fingers, names of the environment's state, or of what follows
            from them: roll, pitch and yaw (about fixed axes, radians), quaternion_x, _y, _z and _w (of the
            half with w ≥ 0), gripper_closing (1 less gripper_opening), and `zero`.
        orientation: "euler-xyz" where the policy turns by roll, pitch and yaw about fixed axes.
        scale: metres and radians that a policy's 1 moves and turns: [1, 1] where it speaks of metres in an
            environment of OSC_POSE's [-1, 1], [0.05, 0.5] the other way round.
        gripper: what the policy's gripper number means, an id of `core.robots.GRIPPERS`.
        binary: whether the gripper is opened or closed all the way, whichever end the number is nearer to.
        order: names of the policy's action dimensions, in its order.
        hz: actions a second that the policy was made for; as many times more or less than the environment's
            as a whole number says.
        prompt: how it is asked; {instruction} stands for the environment's, {lower} for it in small letters.
        execute: actions of a chunk that are executed; None: all that it gives.
    """

    robot: str | None = None
    family: str | None = None
    cameras: dict[str, View] = field(default_factory=dict)
    tells_resize: bool = False
    state: tuple[Name, ...] | None = None
    scale: tuple[Positive, Positive] | None = None
    orientation: Literal["axis-angle", "euler-xyz"] | None = None
    gripper: str | None = None
    binary: bool = False
    order: tuple[Name, ...] | None = None
    hz: Positive | None = None
    prompt: str = "{instruction}"
    execute: Count | None = None

    def __post_init__(self) -> None:
        try:
            names = {name for _, name, _, _ in Formatter().parse(self.prompt) if name is not None}
        except ValueError as error:
            raise ValueError(f"prompt={self.prompt!r}: {error}; write {{{{ for a brace") from None
        if strange := sorted(names - {"instruction", "lower"}):
            raise ValueError(f"prompt={self.prompt!r}: {{{strange[0]}}} is unknown, use {{instruction}}")
        if self.gripper is not None and self.gripper not in GRIPPERS:
            raise ValueError(f"gripper={self.gripper!r}: use one of {', '.join(GRIPPERS)}")

    # -- what the policy sees ----------------------------------------------------------------------------

    def target(self, contract: Contract) -> Contract:
        """The contract under which the policy sees and moves the robot.

        Raises:
            ValueError: something cannot be made of what the environment has; a line for each.
        """
        if wrong := self._misfits(contract):
            raise ValueError("this fit does not suit the environment; correct it:\n  " + "\n  ".join(wrong))
        names = self.order or self.names(contract)
        return replace(
            contract,
            family=self.family or contract.family,
            action=self._action(contract),
            action_names=names,
            gripper=self.gripper or contract.gripper,
            control_hz=self.hz or contract.control_hz,
            cameras={name: view.shape(contract.cameras[view.camera]) for name, view in self.cameras.items()}
            or contract.cameras,
            image=self._image(contract),
            state_names=contract.state_names if self.state is None else self.state,
        )

    def observation(self, observation: dict[str, Any], contract: Contract) -> dict[str, Any]:
        """What the environment shows under `contract`, as the policy wants it."""
        shown = dict(observation)
        if self.cameras and "images" in observation:
            images = observation["images"]
            shown["images"] = {name: view.show(images[view.camera]) for name, view in self.cameras.items()}
        if self.state is not None:
            shown["state"] = state_of(observation["state"], contract.state_names, self.state)
        said = observation["instruction"]
        shown["instruction"] = self.prompt.format(instruction=said, lower=said.lower())
        return shown

    def actions(self, contract: Contract, grip: Grip, actions: np.ndarray) -> tuple[Grip, np.ndarray]:
        """A policy's actions [H, A], all of which will be executed, → the environment's float32 [H', A].

        Raises:
            ValueError: they are fewer than make one step of the environment.
        """
        found, names = np.array(actions, np.float64), self.names(contract)
        if self.order is not None:
            found = found[:, [self.order.index(name) for name in names]]
        if self.orientation == "euler-xyz":
            found = turned(found, names)
        if self.scale is not None and (meant := unit(contract)):
            found = scaled(found, names, self.scale, meant)
        if self.hz is not None:
            times = whole_times(contract.control_hz / self.hz)
            if len(found) < -times:
                raise ValueError(
                    f"hz={self.hz:g}: {-times} actions of the policy make one step, and its chunk has only "
                    f"{len(found)}; use a policy with longer chunks or another rate"
                )
            found = at_rate(found, contract, times)
        there = getattr(contract.gripper, "id", "")
        if self.binary or self.gripper not in (None, there):
            for at in gripper_at(contract.action_names):
                said = self.gripper or there
                grip, found[:, at] = gripped(grip, found[:, at], said, there, self.binary)
        return grip, found.astype(np.float32)

    def described(self, contract: Contract) -> list[tuple[str, str]]:
        """What is translated, as lines of a label and a sentence; none where nothing is."""
        target, lines = self.target(contract), []
        for name, view in self.cameras.items():
            height, width = view.shape(contract.cameras[view.camera])
            turned = f", turned by {view.rotate}°" if view.rotate else ""
            how = f" by {view.resize}" if view.size else ""
            lines.append((f"picture {name}", f"{view.camera}{turned}, {height} x {width}{how}"))
        if self.state is not None:
            lines.append(("state", ", ".join(self.state) or "nothing"))
        if target.action != contract.action:
            lines.append(("action", f"{target.action} → {contract.action}"))
        if self.order is not None:
            lines.append(("action's order", ", ".join(self.order)))
        if target.gripper != contract.gripper or self.binary:
            sharp = ", all the way" if self.binary else ""
            lines.append(("gripper", f"{target.gripper} → {contract.gripper}{sharp}"))
        if target.control_hz != contract.control_hz:
            lines.append(("rate", f"{target.control_hz:g} actions a second → {contract.control_hz:g}"))
        if self.prompt != "{instruction}":
            lines.append(("asked", self.prompt))
        if self.execute is not None:
            lines.append(("executed", f"{self.execute} actions of a chunk"))
        return lines

    def _misfits(self, contract: Contract) -> list[str]:
        """What cannot be translated, a sentence each."""
        if self.robot not in (None, contract.family):
            made = self.family or "this kind"
            return [
                f"policies of {made} drive {self.robot}, the environment has {contract.family}; choose the "
                "suite or the fit of this robot"
            ]
        found = []
        for name, view in self.cameras.items():
            if view.camera not in contract.cameras:
                there = ", ".join(contract.cameras) or "none"
                found.append(f"picture {name!r} is of camera {view.camera!r}; the environment has {there}")
            elif view.size is not None and view.resize == "area":
                try:
                    check_shrinks(replace(view, size=None).shape(contract.cameras[view.camera]), view.size)
                except ValueError as error:
                    found.append(f"picture {name!r}: {error}")
        for name in self.state or ():
            names = contract.state_names
            if lacks := [part for part in needed(name, names) if part not in names]:
                known = ", ".join(names) or "nothing"
                found.append(f"state {name!r} needs {lacks[0]!r}; the environment tells {known}")
        found += self._movement_misfits(contract)
        found += self._gripper_misfits(contract)
        if self.order is not None and sorted(self.order) != sorted(self.names(contract)):
            wanted = ", ".join(self.names(contract))
            found.append(f"order={list(self.order)}: name each of {wanted} once")
        return found + self._rate_misfits(contract)

    def _movement_misfits(self, contract: Contract) -> list[str]:
        if self.scale is not None and unit(contract) is None:
            return [f"scale={list(self.scale)}: the environment's action means {contract.action}"]
        told = contract.action.parameters if isinstance(contract.action, Convention) else {}
        turning = "axis-angle" if self._in_metres() else told.get("orientation")
        if self.orientation not in (None, turning) and turning != "axis-angle":
            return [f"orientation={self.orientation}: the environment's action means {contract.action}"]
        return []

    def _rate_misfits(self, contract: Contract) -> list[str]:
        if self.hz is None:
            return []
        times = whole_times(contract.control_hz / self.hz)
        if not times:
            return [
                f"hz={self.hz:g}: the environment takes {contract.control_hz:g} actions a second; one must "
                "be a whole number of times the other"
            ]
        if times < 0 and self.execute is not None and self.execute % times:
            return [
                f"execute={self.execute}: {-times} actions of the policy make one step of the environment; "
                f"use a multiple of {-times}"
            ]
        return []

    def _in_metres(self) -> bool:
        return self.scale == (1.0, 1.0)

    def _action(self, contract: Contract) -> Convention | str:
        """What the policy's actions mean."""
        action = contract.action
        if self.scale not in (None, unit(contract)):
            said = dict(zip(("translation", "rotation"), self.scale or (), strict=True))
            osc = Convention("osc-pose-delta", {**said})
            metres = Convention("ee-delta-pose", {"orientation": "axis-angle"})
            action = metres if self._in_metres() else osc
        return altered(action, orientation=self.orientation) if self.orientation else action

    def _gripper_misfits(self, contract: Contract) -> list[str]:
        there = getattr(contract.gripper, "id", None)
        if self.gripper in (None, there) and not (self.binary and there not in GRIPPERS):
            return []
        if not gripper_at(contract.action_names) or there not in GRIPPERS:
            return [f"gripper={self.gripper}: the environment's gripper is {contract.gripper or 'none'}"]
        if self.gripper == "relative-closes-positive":
            return ["gripper=relative-closes-positive: a relative gripper is not translated into another"]
        return []

    def names(self, contract: Contract) -> tuple[str, ...]:
        """Names of the policy's action dimensions in the environment's order."""
        renamed: Mapping[str, str] = {}
        if self.orientation == "euler-xyz":
            renamed = dict(zip(POSE[3:], TURNS, strict=True))
        if self.gripper == "opening":
            renamed = {**renamed, "gripper": "opening"}
        return tuple(renamed.get(name, name) for name in contract.action_names)

    def _image(self, contract: Contract) -> Convention | str:
        """How the policy's pictures lie and were resized; pictures of several kinds are said in words."""
        kinds = {(view.rotate, view.resize if view.size else "") for view in self.cameras.values()}
        if not kinds or kinds == {(0, "")}:
            return contract.image
        image = contract.image if isinstance(contract.image, Convention) else Convention(contract.image)
        if len(kinds) > 1 or image.id != "upright":
            words = "; ".join(f"{name} {view.rotate}° {view.resize}" for name, view in self.cameras.items())
            return f"{image.id}, and then {words}"
        [(rotate, resize)] = kinds
        turned = (int(image.parameters.get("rotated", 0)) + rotate) % 360
        kept = {name: value for name, value in image.parameters.items() if name != "rotated"}
        made = Convention(image.id, kept | ({"rotated": turned} if turned else {}))
        return altered(made, resized=resize) if resize and self.tells_resize else made
