"""What every environment family promises."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import gymnasium as gym
import numpy as np

from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.envs.checks import checked
from playloop.envs.outcome import Outcome


class PlayEnv(gym.Env):
    """Base class of all environments: a `gymnasium.Env` whose images cost nothing until they are read.

    A family writes `begin`, `advance` and `observe`; Gymnasium's `reset` and `step` follow. The driver calls
    the three directly, so that an agent which executes eight actions a decision pays for one render.

    Whoever calls `advance`, of any family: what is no action [A] of finite numbers is refused as `BadAction`
    before it is executed, and what is no outcome (a reward that is not finite, say) as `BadOutcome`.
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 (Gymnasium's own form)
    config: Any
    """Its settings, an `EnvConfig`."""
    contract: Contract
    horizon: int
    """Most actions in the episode that has begun."""

    def __init__(
        self,
        contract: Contract,
        horizon: int,
        render_mode: str | None = None,
        action_space: gym.spaces.Box | None = None,
    ) -> None:
        """Declare the spaces; what is observed follows from the contract.

        Args:
            contract: the conventions.
            horizon: most actions of an episode.
            render_mode: "rgb_array" or None, see `render`.
            action_space: of actions [A]; None for -1 to 1.
        """
        self.contract, self.horizon, self.render_mode = contract, horizon, render_mode
        self.metadata = {**self.metadata, "render_fps": contract.control_hz}
        actions = (len(contract.action_names),)
        self.action_space = action_space or gym.spaces.Box(-1.0, 1.0, actions, np.float32)
        images: dict[str, gym.Space[Any]] = {
            name: gym.spaces.Box(0, 255, (*size, 3), np.uint8) for name, size in contract.cameras.items()
        }
        self.observation_space = gym.spaces.Dict(
            images=gym.spaces.Dict(images),
            state=gym.spaces.Box(-np.inf, np.inf, (len(contract.state_names),), np.float32),
            instruction=gym.spaces.Text(max_length=400, charset=_printable()),
        )

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "advance" in vars(cls):
            cls.advance = checked(cls.advance)  # type: ignore[method-assign]

    def episodes(self) -> list[Episode]:
        """The episodes of the standard protocol, in order."""
        return self.config.episodes()

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


def _printable() -> str:
    """ASCII, Latin-1 and the typographer's marks: LIBERO-PRO's sentences have apostrophes of print."""
    return "".join(map(chr, [*range(0x20, 0x7F), *range(0xA0, 0x100), *range(0x2010, 0x2028)]))
