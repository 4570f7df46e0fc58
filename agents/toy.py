"""The expert of the toy environment: goes straight to its square."""

from __future__ import annotations

from typing import Any

import numpy as np

from playloop.agents.base import Plan
from playloop.agents.scripted import ScriptedExpert
from playloop.core.checked import checked
from playloop.core.kinds import kind
from playloop.envs.toy import SPEED


@kind("toy-expert")
@checked
class ToyExpertConfig:
    """Settings of `ToyExpert`: there are none."""

    def make(self) -> ToyExpert:
        return ToyExpert(self)


class ToyExpert(ScriptedExpert):
    """See `agents.base.Agent`."""

    family = "toy"

    def decide(self, carry: None, observation: dict[str, Any], rng: np.random.Generator) -> tuple[None, Plan]:
        away = (observation["privileged"]["target"] - observation["state"]) / SPEED
        return None, Plan(np.clip(away, -1.0, 1.0)[None].astype(np.float32), {"expert": 1})
