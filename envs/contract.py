"""What every environment family promises: one contract for simulators, games and world models."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import asdict, dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

from playloop.core.typed import read_typed
from playloop.envs.checks import checked
from playloop.envs.episode import Episode


@dataclass(frozen=True)
class Contract:
    """The declared conventions of an environment; written into checkpoints, checked before the first step.

    Args:
        family: "libero", "robosuite", "toy", …
        action: one sentence on what an action means (frame, unit, gripper sign).
        action_names: a name for every action dimension.
        control_hz: actions a second.
        cameras: camera name → (height, width).
        image_convention: how an image lies, for example "upright: simulator image rotated by 180 degrees".
        state_names: a name for every entry of `state`.
        success_rule: when an episode counts as a success.
        deterministic: whether an episode's result follows from its identity.
        protocol: deviations from the suite's published protocol, "standard" if none.
        partial: flags in an outcome's info that say how far an episode got ("grasped"); reported beside
            success.
        restorable: whether `snapshot` and `restore` bring any observation back; images of such an environment
            can be drawn after recording, those of another are kept as they come.
    """

    family: str
    action: str
    action_names: tuple[str, ...]
    control_hz: float
    cameras: dict[str, tuple[int, int]]
    image_convention: str
    state_names: tuple[str, ...]
    success_rule: str
    deterministic: bool = True
    protocol: str = "standard"
    restorable: bool = True
    partial: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON-able types."""
        record = asdict(self)
        record["cameras"] = {name: list(size) for name, size in self.cameras.items()}
        record["action_names"] = list(self.action_names)
        record["state_names"] = list(self.state_names)
        record["partial"] = list(self.partial)
        return record

    @classmethod
    def from_json(cls, record: dict[str, Any], where: str = "the contract") -> Contract:
        """The inverse of `to_json`.

        Args:
            record: as JSON holds it; older ones lack fields that have a default.
            where: the file, for the error.

        Raises:
            ValueError: a field is missing or of another type; names it.
        """
        made: Contract = read_typed(cls, record, where)
        sides = [side for size in made.cameras.values() for side in size]
        if not 0 < made.control_hz < math.inf or min(sides, default=1) < 1:
            raise ValueError(f"{where}: control_hz and the sides of pictures must be finite and above 0")
        return made

    def differences(self, other: Contract) -> list[str]:
        """Sentences, one for each convention in which a policy made for `self` cannot act in `other`.

        Cameras that only `other` has do not matter; how success is judged does not change what a policy sees.
        """
        found = []
        for name in ("family", "action", "action_names", "control_hz", "image_convention", "state_names"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                found.append(f"{name}: the policy was made for {mine!r}, the environment has {theirs!r}")
        for camera, size in self.cameras.items():
            if other.cameras.get(camera) != size:
                found.append(
                    f"camera {camera!r}: the policy wants {size}, the environment has {other.cameras}"
                )
        return found


@dataclass
class Outcome:
    """What one action led to.

    Args:
        reward: reward of this step.
        success: the suite's success rule holds now; ends the episode.
        terminated: the episode is over by its own rule (success, death).
        truncated: the horizon is reached.
        info: anything else, small and JSON-able.
    """

    reward: float = 0.0
    success: bool = False
    terminated: bool = False
    truncated: bool = False
    info: dict[str, Any] = field(default_factory=dict)


class PlayEnv(gym.Env):
    """Base class of all environments: a `gymnasium.Env` whose images cost nothing until they are read.

    A family writes `begin`, `advance` and `observe`; Gymnasium's `reset` and `step` follow. The driver calls
    the three directly, so that an agent which executes eight actions a decision pays for one render.

    Whoever calls `advance`, of any family: what is no action [A] of finite numbers is refused as `BadAction`
    before it is executed, and what is no outcome (a reward that is not finite, say) as `BadOutcome`.
    """

    contract: Contract
    horizon: int
    """Most actions in the episode that has begun."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "advance" in vars(cls):
            cls.advance = checked(cls.advance)  # type: ignore[method-assign]

    @abstractmethod
    def episodes(self) -> list[Episode]:
        """The episodes of the standard protocol, in order."""

    @abstractmethod
    def begin(self, episode: Episode) -> None:
        """Put the simulator into the episode's first state; the same episode always gives the same state."""

    @abstractmethod
    def advance(self, action: np.ndarray) -> Outcome:
        """Execute one action [A] without rendering."""

    @abstractmethod
    def observe(self, images: bool = True) -> dict[str, Any]:
        """What an agent sees now: `images` {camera: uint8 [H, W, 3]}, `state` float32 [S], `instruction` str.

        With `images=False` the images are left out and nothing is rendered.
        """

    def privileged(self) -> dict[str, np.ndarray]:
        """Ground truth that experts and labels may read and policies may not; empty where there is none."""
        return {}

    def snapshot(self) -> np.ndarray:
        """The simulator's state as one float64 vector; with the episode's identity it restores the scene."""
        raise self._no_way_back()

    def restore(self, snapshot: np.ndarray) -> None:
        """Return to a `snapshot` taken in the episode that has begun, at least to look: for drawing it later.

        `observe` gives what it gave, to the bit. Whether `privileged` and `advance` go back, too, or stay
        where the episode is, or `advance` refuses, is the family's to say; the next `begin` does not mind.
        """
        raise self._no_way_back()

    def _no_way_back(self) -> NotImplementedError:
        return NotImplementedError(
            f"{type(self).__name__} is declared restorable and has no snapshot and restore; write both, or "
            "set restorable=False in its contract: then its images are kept while it is recorded"
        )

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[dict, dict]:
        """Begin `options["episode"]`; without one, an episode of the protocol is drawn from the seed."""
        super().reset(seed=seed)
        episode = (options or {}).get("episode")
        if episode is None:
            choices = self.episodes()
            episode = choices[int(self.np_random.integers(len(choices)))]
        self.begin(episode)
        return self.observe(), {"episode": episode.to_json()}

    def step(self, action: np.ndarray) -> tuple[dict, float, bool, bool, dict]:
        """Gymnasium's step: `advance`, then `observe` with images."""
        outcome = self.advance(action)
        info = {"success": outcome.success, **outcome.info}
        return self.observe(), outcome.reward, outcome.terminated, outcome.truncated, info

    def render(self) -> np.ndarray | None:
        """The first camera's image, if `render_mode` is "rgb_array"."""
        if self.render_mode != "rgb_array":
            return None
        return next(iter(self.observe()["images"].values()))
