"""One episode kept whole: what was seen, done and gained, for a look at it."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from playloop.agents.base import Agent
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.segment import Segment
from playloop.envs.config import EnvConfig
from playloop.rollouts.callbacks import Callback, Wants
from playloop.rollouts.driver import Driver
from playloop.rollouts.strips import FILM_FRAMES


@dataclass(frozen=True)
class Rollout:
    """An episode of T actions.

    Args:
        episode: its identity.
        instruction: the task in words.
        frames: camera → uint8 [T + 1, H, W, 3], before every action and after the last.
        states: float32 [T, S], before every action.
        actions: float32 [T, A], as executed.
        rewards: float64 [T].
        success: the suite's rule held.
        contract: names and units of all of it.
    """

    episode: Episode
    instruction: str
    frames: dict[str, np.ndarray]
    states: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    success: bool
    contract: Contract

    def __len__(self) -> int:
        return len(self.actions)

    def __str__(self) -> str:
        outcome = "success" if self.success else "no success"
        return f"{self.episode.key}: {self.instruction}: {outcome} after {len(self)} actions"

    def plot(self, camera: str | None = None) -> Figure:
        """A film strip of a camera (the first, unless named) above the actions over time."""
        frames = self.frames[camera or next(iter(self.frames))]
        chosen = np.linspace(0, len(frames) - 1, FILM_FRAMES).round().astype(int)
        seconds = 1 / self.contract.control_hz
        figure = Figure(figsize=(11, 5), layout="constrained")
        figure.suptitle(str(self), fontsize="medium")
        pictures, curves = figure.subfigures(2, 1, squeeze=False, height_ratios=[2, 3]).flat
        for axes, index in zip(pictures.subplots(1, FILM_FRAMES), chosen, strict=True):
            axes.imshow(frames[index])
            axes.set_title(f"{index * seconds:.1f} s", fontsize="small")
            axes.set_axis_off()
        axes, times = curves.subplots(), np.arange(len(self)) * seconds
        for name, values in zip(self.contract.action_names, self.actions.T, strict=True):
            axes.step(times, values, where="post", label=name)
        axes.set(xlabel="seconds", ylabel="action", xlim=(0, (len(frames) - 1) * seconds))
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="small", frameon=False)
        return figure

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        buffer = io.BytesIO()
        self.plot().savefig(buffer, format="png")
        return buffer.getvalue()


@dataclass
class _Keeper(Callback):
    """Keeps the segments of the episode; those of an attempt that broke off are dropped."""

    segments: list[Segment] = field(default_factory=list)

    def wants(self, episode: Episode) -> Wants:
        return Wants(frames=True)

    def on_begin(self, episode: Episode) -> None:
        self.segments.clear()

    def on_segment(self, episode: Episode, segment: Segment) -> None:
        self.segments.append(segment)


def run_episode(env: EnvConfig, agent: Agent, episode: Episode) -> Rollout:
    """Run one episode in this process, with a picture of every step.

    Raises:
        RuntimeError: the agent or the environment failed.
        ValueError: the agent does not fit the environment.
    """
    keeper = _Keeper()
    [result] = Driver(env, workers=0, callbacks=[keeper]).run(agent, [episode])
    if result.error is not None:
        raise RuntimeError(f"{episode.key} cannot be run: {result.error}")
    segments, last = keeper.segments, keeper.segments[-1]

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(segment, name) for segment in segments])

    return Rollout(
        episode=episode,
        instruction=last.instruction,
        frames={camera: _film(segments, camera) for camera in last.frames or {}},
        states=joined("states"),
        actions=joined("actions"),
        rewards=joined("rewards"),
        success=result.success,
        contract=env.contract(),
    )


def _film(segments: list[Segment], camera: str) -> np.ndarray:
    pictures: list[Any] = [segment.frames[camera] for segment in segments if segment.frames]
    return np.concatenate([*pictures, (segments[-1].final_frames or {})[camera][None]])
