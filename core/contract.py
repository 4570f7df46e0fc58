"""The declared conventions of an environment: one contract for simulators, games and world models."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from playloop.core.checked import read_typed
from playloop.core.conventions import Convention
from playloop.core.sentences import upgraded

CONVENTIONS = ("action", "gripper", "image", "success")
"""Fields that hold conventions: ids with parameters."""


@dataclass(frozen=True)
class Contract:
    """The declared conventions of an environment; written into checkpoints, checked before the first step.

    Args:
        family: "libero", "robosuite", "toy", …
        action: what an action means, a `Convention` with its parameters; any text is one of its own, which
            describes itself: "turn by 0.1 rad at full scale".
        action_names: a name for every action dimension.
        control_hz: actions a second.
        cameras: camera name → (height, width).
        image: how an image lies and what was done to it, a convention: "upright".
        state_names: a name for every entry of `state`.
        success: when an episode counts as a success, a convention: "the dial is within 0.1 rad of the mark".
        deterministic: whether an episode's result follows from its identity.
        protocol: deviations from the suite's published protocol, "standard" if none.
        partial: flags in an outcome's info that say how far an episode got ("grasped"); reported beside
            success.
        restorable: whether `snapshot` and `restore` bring any observation back; images of such an environment
            can be drawn after recording, those of another are kept as they come.
        gripper: what the gripper's number means, a convention; None without a gripper.
    """

    family: str
    action: Convention | str
    action_names: tuple[str, ...]
    control_hz: float
    cameras: dict[str, tuple[int, int]]
    image: Convention | str
    state_names: tuple[str, ...]
    success: Convention | str
    deterministic: bool = True
    protocol: str = "standard"
    restorable: bool = True
    partial: tuple[str, ...] = ()
    gripper: Convention | str | None = None

    def __post_init__(self) -> None:
        for name in CONVENTIONS:
            value = getattr(self, name)
            if isinstance(value, str):
                try:
                    object.__setattr__(self, name, Convention(value))
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from error

    def to_json(self) -> dict[str, Any]:
        """As JSON-able types."""
        lists = {name: list(getattr(self, name)) for name in ("action_names", "state_names", "partial")}
        return asdict(self) | {"cameras": {name: list(size) for name, size in self.cameras.items()}} | lists

    @classmethod
    def from_json(cls, record: dict[str, Any], where: str = "the contract") -> Contract:
        """The inverse of `to_json`.

        Args:
            record: as JSON holds it; older ones lack fields that have a default, or hold sentences.
            where: the file, for the error.

        Raises:
            ValueError: a field is missing or of another type; names it.
        """
        made: Contract = read_typed(cls, upgraded(record), where)
        sides = [side for size in made.cameras.values() for side in size]
        if not 0 < made.control_hz < math.inf or min(sides, default=1) < 1:
            raise ValueError(f"{where}: control_hz and the sides of pictures must be finite and above 0")
        return made

    def in_words(self) -> dict[str, Any]:
        """As JSON for people: conventions are sentences."""
        said = {name: str(value) for name in CONVENTIONS if (value := getattr(self, name)) is not None}
        return self.to_json() | said

    def described(self) -> list[tuple[str, str]]:
        """What actions and pictures mean, as lines of a label and a sentence."""
        gripper = [("gripper", str(self.gripper))] if self.gripper else []
        return [("action means", str(self.action)), *gripper, ("picture", str(self.image))]

    def differences(self, other: Contract) -> list[str]:
        """Sentences, one for each convention in which a policy made for `self` cannot act in `other`.

        Cameras that only `other` has do not matter; how success is judged does not change what a policy sees.
        """
        found = []
        for name in ("family", "action", "action_names", "gripper", "control_hz", "image", "state_names"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                said = [repr(str(part or "none") if name in CONVENTIONS else part) for part in (mine, theirs)]
                found.append(f"{name}: the policy was made for {said[0]}, the environment has {said[1]}")
        for camera, size in self.cameras.items():
            if other.cameras.get(camera) != size:
                found.append(
                    f"camera {camera!r}: the policy wants {size}, the environment has {other.cameras}"
                )
        return found
