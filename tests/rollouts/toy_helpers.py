"""A small stochastic agent that sees, and a callback that remembers, for the tests of the loop."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import numpy as np

from playloop.agents.base import Plan
from playloop.envs.toy import COLORS, ToyReachConfig
from playloop.rollouts.callbacks import Callback, Wants


class SeekAgent:
    """Finds its square in the top camera's image and walks there, with noise from its generator."""

    reads = frozenset({"images"})

    def __init__(self, rows=3, chunk=4, noise=0.6):
        self.rows, self.chunk, self.noise = rows, chunk, noise
        self.batches = []

    def prepare(self, contract):
        if contract.family != "toy":
            raise ValueError(f"made for toy, not for {contract.family}")

    def begin(self, episode):
        return 0

    def act(self, carries, observations, rngs):
        assert len(observations) <= self.rows
        self.batches.append(len(observations))
        plans = [self._plan(carry, *pair) for carry, *pair in zip(carries, observations, rngs, strict=True)]
        return [carry + 1 for carry in carries], plans

    def _plan(self, carry, observation, rng):
        color = np.uint8(COLORS[observation["instruction"].split()[2]])
        rows, columns = np.nonzero((observation["images"]["top"] == color).all(-1))
        # A square that the point covers leaves no pixel in view: then stay.
        seen = np.array([columns.mean(), rows.mean()]) / 64 if len(rows) else observation["state"]
        direction = np.clip((seen - observation["state"]) / 0.05 / self.chunk, -1, 1)
        actions = direction + self.noise * rng.standard_normal((self.chunk, 2))
        return Plan(np.clip(actions, -1, 1).astype(np.float32), {"decision": carry})


class Memory(Callback):
    """Keeps everything it is told."""

    def __init__(self, frames=False, trace=False):
        self.want = Wants(frames, trace)
        self.segments, self.log, self.results = {}, [], []

    def wants(self, episode):
        return self.want

    def on_start(self, total, done):
        self.log.append(("start", total, done))

    def on_begin(self, episode):
        self.log.append(("begin", episode))
        self.segments[episode] = []

    def on_segment(self, episode, segment):
        self.segments[episode].append(segment)

    def on_end(self, result):
        self.log.append(("end", result.episode))
        self.results.append(result)

    def on_close(self):
        self.log.append(("close",))

    def column(self, name):
        """Episode → one array of the whole episode."""
        return {e: np.concatenate([getattr(s, name) for s in parts]) for e, parts in self.segments.items()}


def equal(left, right):
    """Whether two columns of `Memory` are equal bit for bit."""
    return left.keys() == right.keys() and all(np.array_equal(left[e], right[e]) for e in left)


@dataclass(frozen=True)
class Unbuildable(ToyReachConfig):
    dies: bool = False

    def make(self):
        if self.dies:
            os._exit(7)
        raise FileNotFoundError("no assets here")


@dataclass(frozen=True)
class Liar(ToyReachConfig):
    def make(self):
        env = super().make()
        env.contract = replace(env.contract, control_hz=99.0)
        return env
