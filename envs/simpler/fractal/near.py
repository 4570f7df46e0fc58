"""Move near. Rules: ManiSkill2_real2sim, `move_near_in_scene.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from playloop.envs.simpler.fractal.scene import DENSITIES, Kitchen, model_facts
from playloop.envs.simpler.fractal.tasks import Task
from playloop.envs.simpler.fractal.truth import box

MOVED = 0.03
"""Metres along the table that count as having moved."""
CLOSE = 0.10
"""Metres between two objects that are near each other, beyond half their diagonals."""
FALLEN, DROPPED = -0.02, -0.15
"""Metres below where an object stood: knocked over, and off the table."""


class MoveNear(Task):
    """Success: the right object moved most, ends near its target and nearer to it than to the other one."""

    contact_offset = 0.005

    def furnish(self, kitchen: Kitchen) -> None:
        self.kitchen = kitchen
        objects = list(self.layout.objects)
        source, target = objects[self.layout.source], objects[self.layout.target]
        if kitchen.look.alone:
            objects = [source, target]
        for placed in objects:
            kitchen.add_object(placed, DENSITIES.get(kitchen.look.model(placed.name)))
        self.names = [placed.name for placed in objects]
        self.source, self.target = source.name, target.name
        kitchen.settle(self.names)
        self.moved = {"moved_correct": False, "moved_wrong": False}
        self.rest = {name: kitchen.place(name) for name in self.names}
        self.reach = CLOSE + self._radius(self.source) + self._radius(self.target)

    def judge(self, steps: int) -> tuple[bool, dict[str, Any]]:
        kitchen, others = self.kitchen, [name for name in self.names if name != self.source]
        third = [name for name in others if name != self.target]
        kept = all(kitchen.place(name)[2] - self.rest[name][2] > FALLEN for name in third) and all(
            kitchen.centre(name)[2] - self.rest[name][2] > DROPPED for name in (self.source, self.target)
        )
        way = {name: self._way(name) for name in self.names}
        furthest = max(way[name] for name in others)
        right = way[self.source] > MOVED and all(way[name] < way[self.source] for name in others)
        centre = kitchen.centre(self.source)[:2]
        distance = float(np.linalg.norm(centre - kitchen.centre(self.target)[:2]))
        to_others = [float(np.linalg.norm(centre - kitchen.place(name)[:2])) for name in others]
        near, nearest = distance < self.reach, all(distance < other + 0.01 for other in to_others)
        self.moved["moved_correct"] |= bool(right)
        self.moved["moved_wrong"] |= bool(furthest > MOVED and furthest > way[self.source])
        info = {
            "all_obj_keep_height": bool(kept),
            **self.moved,
            "near_tgt_obj": bool(near),
            "is_closest_to_tgt": bool(nearest),
        }
        return bool(kept and right and near and nearest), info

    def truth(self) -> dict[str, np.ndarray]:
        bodies = self.kitchen.bodies
        return {"pick": box(bodies[self.source]), "place": box(bodies[self.target])}

    def _way(self, name: str) -> float:
        """How far an object has moved along the table, metres."""
        return float(np.linalg.norm(self.rest[name][:2] - self.kitchen.place(name)[:2]))

    def _radius(self, name: str) -> float:
        """Half the diagonal of the model's box seen from above, as it stands; published as a rotated size."""
        corners = model_facts(self.kitchen.look.model(name))["bbox"]
        size = np.array(corners["max"]) - np.array(corners["min"])
        w, x, y, z = np.asarray(self.kitchen.objects[name].pose.q, np.float64)
        return float(np.linalg.norm(Rotation.from_quat([x, y, z, w]).apply(size)[:2]) / 2)
