"""Place apple in closed drawer. Rules: ManiSkill2_real2sim, `place_in_closed_drawer_in_scene.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from playloop.envs.simpler.fractal.contacts import LEAST, impulse_on
from playloop.envs.simpler.fractal.drawer import OPENED, Drawer
from playloop.envs.simpler.fractal.protocol import SUBTASK_STEPS
from playloop.envs.simpler.fractal.scene import Kitchen
from playloop.envs.simpler.fractal.truth import box

STILL_OPEN = 0.05
FLOOR = 2
"""Index of the collision shape that is the drawer's floor."""
INSIDE = ((-0.275, -0.2575, -0.05), (0.275, 0.2575, 0.03))
"""Lower and upper corner of a drawer's inside, its frame, metres."""


class PlaceApple(Drawer):
    """Success: once the second half has begun, the drawer is 5 cm open and the apple touched its floor."""

    contact_offset = 0.005

    def furnish(self, kitchen: Kitchen) -> None:
        apple = self.layout.objects[0]
        self.name = apple.name
        kitchen.add_object(apple)
        super().furnish(kitchen)
        self.floor = self.link.collision_shapes[FLOOR]
        kitchen.settle([apple.name])
        self.touched = 0
        self.opened = False

    def judge(self, steps: int) -> tuple[bool, dict[str, Any]]:
        opening, contacts = self.opening(), self.kitchen.scene.get_contacts()
        self.opened |= opening >= OPENED
        push = impulse_on(contacts, self.kitchen.bodies[self.name], self.link, self.floor)
        self.touched += float(np.linalg.norm(push)) > LEAST
        placing = steps > SUBTASK_STEPS
        done = placing and opening >= STILL_OPEN and self.touched > 0
        return done, {"qpos": opening, "is_drawer_open": self.opened, "has_contact": self.touched}

    def truth(self) -> dict[str, np.ndarray]:
        origin = np.asarray(self.link.entity.pose.p, np.float64)
        inside = np.array(INSIDE) + origin
        return {**super().truth(), "pick": box(self.kitchen.bodies[self.name]), "place": inside}
