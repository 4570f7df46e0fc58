"""From keys and mouse to an action vector: one map for Minecraft, one for arms, one for anything else.

Keys are named by their position on the keyboard (`KeyboardEvent.code`: "KeyW", "Space", …), so that W A S D
lie together on every layout.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from playloop.core.contract import Contract
from playloop.core.minecraft import ACTION_NAMES, MAX_TURN, index_of
from playloop.core.robots import GRIPPERS


@dataclass(frozen=True)
class Held:
    """What a person's hands did since the last action.

    Args:
        keys: held now.
        pressed: went down since then; a short tap between two actions is not lost.
        turn: pixels that the mouse moved to the right and downwards, summed.
        wheel: notches of the wheel downwards, summed.
        seq: number of the newest message that is part of it.
    """

    keys: frozenset[str] = frozenset()
    pressed: frozenset[str] = frozenset()
    turn: tuple[float, float] = (0.0, 0.0)
    wheel: int = 0
    seq: int = 0

    def then(self, later: Held) -> Held:
        """Both, one after the other."""
        turn = (self.turn[0] + later.turn[0], self.turn[1] + later.turn[1])
        pressed = self.pressed | later.pressed | (later.keys - self.keys)
        return Held(later.keys, pressed, turn, self.wheel + later.wheel, later.seq)

    def rest(self) -> Held:
        """What stays held once an action has been made of it."""
        return Held(self.keys, seq=self.seq)

    @property
    def down(self) -> frozenset[str]:
        """The keys that count for the next action."""
        return self.keys | self.pressed


@dataclass(frozen=True)
class Binding:
    """A line of the map as the page shows it: these keys do that."""

    keys: tuple[str, ...]
    does: str


@dataclass(frozen=True)
class KeyLayout:
    """How a page offers a map.

    Args:
        bindings: all of it, in words.
        look: the mouse turns the view, so that the page captures it.
        stick: keys for left, right, up and down: the touch pad and a gamepad's left stick.
        buttons: keys of a gamepad's buttons 0, 1, 2, … (south, east, west, north, bumpers, triggers).
    """

    bindings: tuple[Binding, ...]
    look: bool
    stick: tuple[str, str, str, str]
    buttons: tuple[str, ...] = ()


class KeyMap(ABC):
    """Hands → action; what must be remembered (a gripper, a slot) is in a carry of its own."""

    @property
    @abstractmethod
    def layout(self) -> KeyLayout:
        """What a page shows of it."""

    def begin(self) -> Any:
        """The carry at the start of an episode."""
        return None

    def resume(self, carry: Any, action: np.ndarray) -> Any:
        """The carry after somebody else has executed an action."""
        return carry

    @abstractmethod
    def act(self, carry: Any, held: Held) -> tuple[Any, np.ndarray]:
        """The next action, float32 [A]."""


def keymap_for(
    contract: Contract, degrees_per_pixel: float, arm_speed: float, without: Sequence[str] = ()
) -> KeyMap:
    """The map that fits a contract's action names; `without` some of Minecraft's buttons."""
    if contract.action_names == ACTION_NAMES:
        return MinecraftKeys(degrees_per_pixel, frozenset(without))
    if len(contract.action_names) == 7 and contract.action_names[-1] == "gripper":
        id_ = getattr(contract.gripper, "id", None)
        return ArmKeys(arm_speed, *GRIPPERS.get(str(id_), (-1.0, 1.0)))
    return AxisKeys(contract.action_names)


_MINECRAFT = {
    "forward": ("KeyW", "ArrowUp"),
    "back": ("KeyS", "ArrowDown"),
    "left": ("KeyA", "ArrowLeft"),
    "right": ("KeyD", "ArrowRight"),
    "jump": ("Space",),
    "sneak": ("ShiftLeft",),
    "sprint": ("KeyR", "ControlLeft"),
    "attack": ("Mouse0",),
    "use": ("Mouse2",),
    "pickItem": ("Mouse1",),
    "drop": ("KeyQ",),
    "inventory": ("KeyE",),
    "swapHands": ("KeyF",),
}
_WORDS = {"pickItem": "pick block", "swapHands": "swap hands"}
_SLOTS = 9


@dataclass(frozen=True)
class MinecraftKeys(KeyMap):
    """Minecraft's own keys; the mouse turns the view. The carry is the hotbar's slot, from 0.

    Args:
        degrees_per_pixel: that the mouse moves.
        without: buttons that have no key here.
    """

    degrees_per_pixel: float = 0.15
    without: frozenset[str] = frozenset()

    @property
    def keys(self) -> dict[str, tuple[str, ...]]:
        return {name: keys for name, keys in _MINECRAFT.items() if name not in self.without}

    @property
    def layout(self) -> KeyLayout:
        bindings = [
            Binding(("Mouse",), "look"),
            *(Binding(keys, _WORDS.get(name, name)) for name, keys in self.keys.items()),
            Binding((*(f"Digit{slot}" for slot in range(1, _SLOTS + 1)), "Wheel"), "hotbar"),
        ]
        buttons = ("Space", "ShiftLeft", "KeyR", "KeyE", "KeyQ", "KeyF", "Mouse2", "Mouse0")
        return KeyLayout(tuple(bindings), True, ("KeyA", "KeyD", "KeyW", "KeyS"), buttons)

    def begin(self) -> int:
        return 0

    def resume(self, carry: int, action: np.ndarray) -> int:
        chosen = [slot for slot in range(_SLOTS) if action[index_of(f"hotbar.{slot + 1}")] > 0.5]
        return chosen[-1] if chosen else carry

    def act(self, carry: int, held: Held) -> tuple[int, np.ndarray]:
        action = np.zeros(len(ACTION_NAMES), np.float32)
        for name, keys in self.keys.items():
            action[index_of(name)] = bool(held.down.intersection(keys))
        digits = [number for number in range(_SLOTS) if f"Digit{number + 1}" in held.down]
        slot = digits[-1] if digits else (carry + held.wheel) % _SLOTS
        if slot != carry:
            action[index_of(f"hotbar.{slot + 1}")] = 1.0
        right, down = held.turn
        action[-2:] = np.clip(np.array([down, right]) * self.degrees_per_pixel, -MAX_TURN, MAX_TURN)
        return slot, action


_ARM = (  # one pair of keys (minus, plus) a dimension, as seen from the front camera: +x comes towards it
    (("KeyW", "KeyS"), "away, near"),
    (("KeyA", "KeyD"), "left, right"),
    (("KeyF", "KeyR"), "down, up"),
    (("KeyJ", "KeyL"), "roll"),
    (("KeyI", "KeyK"), "pitch"),
    (("KeyU", "KeyO"), "yaw"),
)


@dataclass(frozen=True)
class ArmKeys(KeyMap):
    """An arm's hand in six directions and a gripper that one key toggles.

    Args:
        speed: share of the full scale that a held key commands; with Shift all of it.
        opened: the gripper's number that opens it; an episode begins with it.
        shut: the one that shuts it.
    """

    speed: float = 0.5
    opened: float = -1.0
    shut: float = 1.0

    @property
    def layout(self) -> KeyLayout:
        bindings = [Binding(keys, does) for keys, does in _ARM]
        bindings += [Binding(("Space",), "gripper: close, open"), Binding(("ShiftLeft",), "full speed")]
        stick = ("KeyA", "KeyD", "KeyW", "KeyS")
        buttons = ("Space", "KeyF", "KeyJ", "KeyR", "KeyU", "KeyO", "KeyI", "KeyK")
        return KeyLayout(tuple(bindings), False, stick, buttons)

    def begin(self) -> tuple[float, bool]:
        """The gripper is open; its key is not held."""
        return self.opened, False

    def resume(self, carry: tuple[float, bool], action: np.ndarray) -> tuple[float, bool]:
        is_shut = abs(action[-1] - self.shut) < abs(action[-1] - self.opened)
        return (self.shut if is_shut else self.opened), carry[1]

    def act(self, carry: tuple[float, bool], held: Held) -> tuple[tuple[float, bool], np.ndarray]:
        gripper, was_held = carry
        if "Space" in held.down and not was_held:
            gripper = self.shut if gripper == self.opened else self.opened
        scale = 1.0 if "ShiftLeft" in held.down else self.speed
        moves = [scale * _direction(held, *keys) for keys, _ in _ARM]
        return (gripper, "Space" in held.keys), np.array([*moves, gripper], np.float32)


_AXES = (
    ("ArrowLeft", "ArrowRight"),
    ("ArrowUp", "ArrowDown"),
    ("KeyQ", "KeyE"),
    ("KeyF", "KeyR"),
    ("KeyG", "KeyT"),
    ("KeyJ", "KeyL"),
    ("KeyI", "KeyK"),
    ("KeyU", "KeyO"),
    ("KeyZ", "KeyX"),
)
_ALSO = {"ArrowLeft": "KeyA", "ArrowRight": "KeyD", "ArrowUp": "KeyW", "ArrowDown": "KeyS"}


@dataclass(frozen=True)
class AxisKeys(KeyMap):
    """A pair of keys for each of the first nine dimensions: -1, +1 or, with neither held, 0."""

    names: tuple[str, ...]

    @property
    def layout(self) -> KeyLayout:
        bindings = tuple(
            Binding((*keys, *(_ALSO[key] for key in keys if key in _ALSO)), f"{name} −, +")
            for name, keys in zip(self.names, _AXES, strict=False)
        )
        return KeyLayout(bindings, False, ("ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"))

    def act(self, carry: None, held: Held) -> tuple[None, np.ndarray]:
        action = np.zeros(len(self.names), np.float32)
        moves = [_direction(held, *keys) for keys in _AXES[: len(self.names)]]
        action[: len(moves)] = moves
        return None, action


def _direction(held: Held, minus: str, plus: str) -> float:
    down = [bool(held.down & {key, _ALSO.get(key, key)}) for key in (minus, plus)]
    return float(down[1]) - float(down[0])
