"""A world model as an environment: the same contract as the game that it was trained on."""

from __future__ import annotations

import importlib.util
from dataclasses import field, replace
from typing import Any, Literal

import numpy as np
import torch

from playloop.core.annotations import Count, Name, Natural
from playloop.core.checked import checked
from playloop.core.content import named_files
from playloop.core.contract import Contract
from playloop.core.episode import FRESH, Episode, choose_episodes
from playloop.core.kinds import kind
from playloop.core.minecraft import ACTION_SIZE, BUTTONS, action_space, index_of
from playloop.envs.base import PlayEnv
from playloop.envs.config import EnvConfig
from playloop.envs.outcome import Outcome
from playloop.nn.graphs import Captured
from playloop.worlds.checkpoint import check_inverse, load_inverse
from playloop.worlds.open import count_starts, load_playable, outline, read_contract
from playloop.worlds.sampler import SamplerConfig

SUITE = "world"
TASK = "do as you like"
NEEDS = {"kernels": ("cpu", "numba"), "triton": ("cuda", "triton")}
"""Back end → the device that it is for, and the package that it comes with."""


@kind("world")
@checked
class WorldEnvConfig(EnvConfig):
    """Settings of `WorldEnv`.

    Args:
        checkpoint: folder of the world model.
        sampler: how its frames are drawn.
        inits: stored beginnings, of those that the checkpoint has; of fewer, all.
        horizon: frames of an episode.
        device: "cpu" or "cuda".
        backend: "kernels", "torch", "triton", or "auto" for the fastest there.
        threads: of PyTorch in the environment's process; 0 leaves them as they are.
        weights: "int8" or "fp8": of a MineWorld in eight bits; None as they are.
        inverse: folder of an inverse-dynamics model, which reads the actions of clips to go on from; None for
            none: then only a clip's last frame counts.
    """

    checkpoint: Name
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    inits: Count = 50
    horizon: Count = 1000
    device: str = "cpu"
    backend: str = "auto"
    threads: Natural = 1
    weights: Literal["int8", "fp8"] | None = None
    inverse: str | None = None

    suite = SUITE

    def make(self) -> WorldEnv:
        """The environment; the model is loaded."""
        return WorldEnv(self)

    def provenance(self) -> dict[str, Any]:
        return named_files({"checkpoint": self.checkpoint, "inverse": self.inverse})

    def title(self) -> str:
        return "world model"

    def check(self) -> None:
        """Refuse what the model cannot be played with, before its weights are read.

        Raises:
            FileNotFoundError: a file of the checkpoint is missing.
            ValueError: says which setting.
        """
        if self.inverse:
            check_inverse(self.inverse)
        world = outline(self.checkpoint)
        world.check(self.sampler)
        if self.weights is not None and not world.weight_kinds:
            raise ValueError(
                f"weights={self.weights} is not for this world model; only a MineWorld has weights in eight "
                "bits"
            )
        if self.backend not in world.backends:
            raise ValueError(
                f"backend={self.backend} is not for this world model; it has {', '.join(world.backends)}"
            )
        device, package = NEEDS.get(self.backend, ("", ""))
        if device and (torch.device(self.device).type != device or not importlib.util.find_spec(package)):
            raise ValueError(f"backend={self.backend} needs device={device} and {package}; use backend=auto")

    def idle_buttons(self) -> tuple[str, ...]:
        """Keys that the model's actions have no word for."""
        form, pressed = outline(self.checkpoint).actions, np.eye(len(BUTTONS), ACTION_SIZE, dtype=np.float32)
        kept = form.decode(form.encode(pressed)).diagonal()
        return tuple(name for name, held in zip(BUTTONS, kept, strict=True) if held < 0.5)

    def contract(self) -> Contract:
        """The imitated game's contract, without its state and its rules."""
        imitated, name = read_contract(self.checkpoint)
        camera, size = next(iter(imitated.cameras.items()))
        return replace(
            imitated,
            cameras={camera: size},
            state_names=(),
            success="always",
            protocol=f"imagined by {name}" + (f", its weights in {self.weights}" if self.weights else ""),
            restorable=False,
        )

    def task_names(self) -> list[str]:
        """One: free play."""
        return ["explore"]

    def episodes(
        self, tasks: list[int] | None = None, inits: list[int] | int | None = None, seed: int = 0
    ) -> list[Episode]:
        """Stored beginnings; a number is the first so many.

        Raises:
            ValueError: there is no such beginning, or `self.inits` leaves it out.
        """
        stored = count_starts(self.checkpoint)
        last = max(inits, default=0) if isinstance(inits, list) else (inits or 0) - 1
        if self.inits <= last < stored:
            raise ValueError(
                f"init={last} is left out by env.inits={self.inits}; this world model has "
                f"{stored} beginnings: set env.inits={stored}"
            )
        return choose_episodes(SUITE, (1, min(self.inits, stored)), tasks, inits, seed)


class WorldEnv(PlayEnv):
    """Dreams on under the player's actions. The same episode and actions give the same frames."""

    def __init__(self, config: WorldEnvConfig, render_mode: str | None = None):
        if config.threads:
            torch.set_num_threads(config.threads)
        super().__init__(config.contract(), config.horizon, render_mode, action_space())
        self.config = config
        self.world = load_playable(config.checkpoint, config.device, config.weights)
        self.players = self.world.players(config.sampler, 1, config.backend)
        self.picture = Captured(self.world.tokenizer.decode)
        self.inverse = load_inverse(config.inverse, config.device) if config.inverse else None
        self.camera = next(iter(self.contract.cameras))

    def episodes(self) -> list[Episode]:
        return self.config.episodes()

    def begin(self, episode: Episode) -> None:
        starts = len(self.world.starts)
        clip = int(episode.rng("start").integers(starts)) if episode.init == FRESH else episode.init
        if clip >= starts:
            raise ValueError(f"init={clip}: this world model has {starts} beginnings; set env.inits={starts}")
        self._enter(self.world.starts[clip], self.world.start_actions[clip])
        self.rng, self.steps = episode.rng("draws"), 0

    def start_from(self, frames: np.ndarray, actions: np.ndarray | None = None) -> None:
        """Go on from pictures instead of the episode's own beginning.

        Args:
            frames: uint8 [T, H, W, 3] of any size; the last ones count.
            actions: between them, float32 [T - 1, 25]; None if they are not known: an inverse-dynamics model
                reads them, or only the last frame counts.
        """
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not len(frames):
            raise ValueError(f"expected frames uint8 [T, H, W, 3], got {frames.dtype} {frames.shape}")
        count = self.world.seen
        if actions is None and self.inverse and len(frames) > 1:
            frames = frames[-count:]
            actions = self.inverse.infer(frames)
        elif actions is None:
            frames, actions = frames[-1:], np.zeros((0, ACTION_SIZE), np.float32)
        if actions.shape != (len(frames) - 1, ACTION_SIZE):
            raise ValueError(f"{len(frames)} frames want actions [{len(frames) - 1}, {ACTION_SIZE}]")
        images = np.stack([self.world.resize(frame) for frame in frames[-count:]])
        tokens = self.world.tokenizer.encode(torch.from_numpy(images).to(self.config.device))
        taken = self.world.actions.encode(actions[len(actions) - len(images) + 1 :])
        self._enter(tokens, torch.from_numpy(taken))

    def advance(self, action: np.ndarray) -> Outcome:
        action = np.asarray(action, np.float32)
        taken = torch.from_numpy(self.world.actions.encode(action))
        self.tokens = self.players.step({0: taken}, {0: self.rng.random(self.world.tokenizer.tokens)})[0]
        self.steps += 1
        left, over = bool(action[index_of("ESC")] > 0.5), self.steps >= self.horizon
        return Outcome(success=over and not left, terminated=over or left)

    def observe(self, images: bool = True) -> dict[str, Any]:
        observation: dict[str, Any] = {"state": np.zeros(0, np.float32), "instruction": TASK}
        if images:
            observation["images"] = {self.camera: self.picture(self.tokens[None])[0].cpu().numpy()}
        return observation

    def warm_up(self) -> None:
        """Compile and touch everything that a frame needs; changes no later frame."""
        self.begin(Episode(SUITE, 0, 0))
        for _ in range(3):
            self.advance(np.zeros(ACTION_SIZE, np.float32))
            self.observe()

    @property
    def sampler(self) -> SamplerConfig:
        """How frames are drawn, everything named."""
        return self.players.sampler

    def sampling(self, temperature: float, top_p: float, top_k: int | None = None) -> None:
        """How frames are drawn from now on; see `SamplerConfig`, None for no limit of their number.

        Raises:
            ValueError: a number is out of range, or two exclude each other.
        """
        sampler = replace(self.sampler, temperature=temperature, top_p=top_p, top_k=top_k)
        self.world.check(sampler)
        self.players.sampler = sampler

    def _enter(self, tokens: torch.Tensor, actions: torch.Tensor) -> None:
        self.players.enter(0, tokens, actions)
        self.tokens = tokens[-1]
