"""Pick coke can. Rules: ManiSkill2_real2sim, `grasp_single_in_scene.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from playloop.envs.simpler.fractal.contacts import grasped, supported
from playloop.envs.simpler.fractal.layouts import Placed
from playloop.envs.simpler.fractal.scene import Kitchen
from playloop.envs.simpler.fractal.tasks import Task
from playloop.envs.simpler.fractal.truth import box

FIRM = 5
"""Steps running for which a grasp must hold to be called consecutive."""
LONG = 5
"""Steps high up, in all, that count as a success even if the can is put down again."""
LIFTED, HIGH = 0.01, 0.02
"""Metres above where the can lay."""


class PickCokeCan(Task):
    """Success: held by the robot alone, more than 1 cm up; or it was more than 2 cm up for five steps."""

    def furnish(self, kitchen: Kitchen) -> None:
        self.kitchen, can = kitchen, self.layout.objects[0]
        self.name = can.name
        kitchen.add_object(can)
        kitchen.settle([can.name])
        self.rest = float(kitchen.place(can.name)[2])
        self.running = self.high = 0
        self.lifted = self.firm_once = self.grasped_once = False
        self._scatter(can)

    def judge(self, steps: int) -> tuple[bool, dict[str, Any]]:
        held = grasped(self.kitchen, self.name)
        self.running = self.running + 1 if held else 0
        firm = self.running >= FIRM
        above = float(self.kitchen.place(self.name)[2]) - self.rest
        free = above > LIFTED and not supported(self.kitchen, self.name)
        self.lifted = (held and self.lifted) or free
        high = self.lifted and above > HIGH
        self.high += high
        self.firm_once |= firm
        self.grasped_once |= held
        info = {
            "is_grasped": held,
            "consecutive_grasp": firm,
            "lifted_object": self.lifted,
            "lifted_object_significantly": high,
            "n_lift_significant": self.high,
            "grasped": self.grasped_once,
            "grasped_5_steps": self.firm_once,
        }
        return self.lifted or self.high >= LONG, info

    def truth(self) -> dict[str, np.ndarray]:
        return {"pick": box(self.kitchen.bodies[self.name])}

    def _scatter(self, can: Placed) -> None:
        """Let further objects fall, one after the other, at least 25 cm from the can."""
        names = list(self.kitchen.look.distractors)
        for name in names:
            place = np.asarray(can.xy)
            while np.linalg.norm(place - can.xy) <= 0.25:
                shift = self.rng.uniform(-0.3, 0.3, 2)
                place = np.clip(np.asarray(can.xy) + shift, [-0.50, 0.05], [-0.1, 0.35])
            self.kitchen.add_object(Placed(name, (float(place[0]), float(place[1])), can.angles))
            self.kitchen.lock(name, [True, True, False, True, True, False])
            self.kitchen.steps(0.5)
        for name in names:
            self.kitchen.release(name)
            self.kitchen.steps(0.5)
        if names and self.kitchen.restless(names):
            self.kitchen.steps(1.5)
