"""Agents for the toy environment that fail where and how they are told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from playloop.agents.base import Plan, RowAgent


@dataclass
class ReacherConfig:
    """`failing`: a task in which it sleeps; `broken`: while there is a file of this name with ".now" behind
    it, it raises; `weights`: a file.
    """

    failing: int = -1
    broken: str = ""
    weights: str = "one"

    def make(self):
        return Reacher(self)


class Reacher(RowAgent):
    """Goes straight to its square."""

    reads = frozenset({"privileged"})

    def __init__(self, config):
        self.config, self.rows = config, 4

    def prepare(self, contract):
        pass

    def provenance(self):
        return {"weights": Path(self.config.weights).read_text()} if self.config.weights != "one" else {}

    def begin(self, episode):
        if self.config.broken and Path(f"{self.config.broken}.now").exists():
            raise OSError("the arm is unplugged")
        return episode.task == self.config.failing

    def decide(self, carry, observation, rng):
        truth = observation["privileged"]
        away = truth["target"] - observation["state"]
        return carry, Plan(
            np.zeros((1, 2), np.float32) if carry else np.clip(away / 0.05, -1, 1)[None].astype(np.float32)
        )
