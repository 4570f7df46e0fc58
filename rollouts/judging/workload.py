"""What is imagined: every clip, long dream and branch by name, and what each begins with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from playloop.rollouts.judging.branching import BRANCHES, Brancher, Point, branch_actions
from playloop.rollouts.judging.clips import Clip, Recordings
from playloop.rollouts.judging.config import WorldEvaluationConfig
from playloop.rollouts.judging.dream import Frames, Start
from playloop.worlds.playable import Playable


@dataclass(frozen=True)
class Job:
    """So many frames to imagine with a decoding window, under a key in the store."""

    key: str
    window: int
    frames: int
    start: Callable[[], Start]


class Workload:
    """Clips of recordings, and jobs made of them."""

    def __init__(
        self, config: WorldEvaluationConfig, world: Playable[Any, Any], recordings: Recordings, frames: Frames
    ):
        self.config, self.recordings, self.frames = config, recordings, frames
        self.context, self.windows = config.seen(world), config.compared(world)
        self.actions = world.actions
        self.clips = recordings.choose(config.clips, self.context + config.horizon)
        self.drift_frames = min(config.drift_frames, recordings.longest() - self.context)
        self.drifts = recordings.choose(config.drift_clips, self.context + self.drift_frames)
        self.points: dict[Clip, Point] = {}
        self.no_branches = self._try_branches()

    def _try_branches(self) -> str:
        """Find the states to branch from; returns why there are none, "" if there are."""
        family = self.recordings.contract.family
        if family != "craft":
            return f"the true game of {family!r} cannot be branched here; only the voxel world can"
        if not self.config.branches:
            return "branches=0"
        clips = self.recordings.choose(self.config.branches, self.context)
        try:
            brancher = Brancher(self.recordings, self.actions)
            self.points = {clip: brancher.branch(clip, self.config.branch_frames) for clip in clips}
        except ValueError as error:
            return str(error)
        return ""

    @cached_property
    def branch_actions(self) -> np.ndarray:
        """Actions of the branches as the model takes them, int64 [k, G]."""
        return self.actions.encode(branch_actions(self.actions))

    def jobs(self) -> Iterator[Job]:
        """Everything to imagine; jobs of one shape follow one another."""
        config, window = self.config, self.windows[0]
        for each in self.windows:
            for clip in self.clips:
                yield Job(job_key("clip", clip, each), each, config.horizon, partial(self.start, clip))
        for clip in self.drifts:
            yield Job(job_key("drift", clip, window), window, self.drift_frames, partial(self.start, clip))
        for clip in self.points:
            for number, name in enumerate(BRANCHES):
                key, start = job_key("branch", clip, window, name), partial(self.branch, clip, number)
                yield Job(key, window, config.branch_frames, start)

    def start(self, clip: Clip) -> Start:
        """The beginning of a clip whose frames behind the context are to be imagined."""
        frames = self.recordings.frames(clip)[: self.context]
        actions = self.actions.encode(self.recordings.actions(clip))
        return Start(self.frames.encode(frames), actions, self._draws(clip, clip.frames - self.context))

    def branch(self, clip: Clip, number: int) -> Start:
        """The beginning of a branch into the action with this number, which is held."""
        point, count = self.points[clip], self.config.branch_frames
        held = np.repeat(self.branch_actions[number][None], count, 0)
        actions = np.concatenate([self.actions.encode(point.actions), held])
        return Start(self.frames.encode(point.frames), actions, self._draws(clip, count, "branch", number))

    def _draws(self, clip: Clip, count: int, *purpose: object) -> np.ndarray:
        tokens = self.frames.tokenizer.tokens
        return clip.rng("draws", self.config.seed, *purpose).random((count, tokens))


def job_key(purpose: str, clip: Clip, window: int, *branch: str) -> str:
    """The name of what is imagined: a "clip", a long dream ("drift") or a "branch" into an action."""
    return "/".join((purpose, clip.key, *branch, f"window{window}"))
