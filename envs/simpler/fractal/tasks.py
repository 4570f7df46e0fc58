"""The five tasks: what they put into the kitchen, and when they are done.

Rules: ManiSkill2_real2sim, `grasp_single_in_scene.py`, `move_near_in_scene.py`, `open_drawer_in_scene.py` and
`place_in_closed_drawer_in_scene.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from playloop.envs.simpler.env import matrix_of
from playloop.envs.simpler.fractal.layouts import CLOSE, DRAWERS, Placed
from playloop.envs.simpler.fractal.protocol import SUBTASK_STEPS, Setup
from playloop.envs.simpler.fractal.robot import FINGER_LINKS
from playloop.envs.simpler.fractal.scene import DENSITIES, Kitchen, model_facts

FIRM = 5
"""Steps running for which a grasp must hold to be called consecutive."""
LONG = 5
"""Steps high up, in all, that count as a success even if the can is put down again."""
LIFTED, HIGH = 0.01, 0.02
"""Metres above where the can lay."""
MOVED = 0.03
"""Metres along the table that count as having moved."""
NEARBY = 0.10
"""Metres between two objects that are near each other, beyond half their diagonals."""
FALLEN, DROPPED = -0.02, -0.15
"""Metres below where an object stood: knocked over, and off the table."""
OPENED, CLOSED, AJAR = 0.15, 0.05, 0.2
"""Metres of opening: enough to be open, little enough to be shut, and that of a drawer to be closed."""
HANDLE, EDGE = (0.3425, 0.0, 0.02), (0.305, 0.0, 0.07)
"""In a drawer's frame, metres: middle of the handle, and of its front's upper edge."""
STILL_OPEN = 0.05
FLOOR = 2
"""Index of the collision shape that is the drawer's floor."""
INSIDE = ((-0.275, -0.2575, -0.05), (0.275, 0.2575, 0.03))
"""Lower and upper corner of a drawer's inside, its frame, metres."""
LEAST = 1e-6
"""Impulses up to this, newton-seconds in the last simulation step, are no contact."""
WIDEST = 80.0
"""Degrees between a finger's opening direction and the impulse on it, at most, for a grasp."""


class FractalTask(ABC):
    """One episode's task.

    Args:
        setup: of the episode.
        rng: the episode's, for what neither layout nor appearance fixes.
    """

    contact_offset = 0.02
    """Metres; see `Kitchen`."""

    def __init__(self, setup: Setup, rng: np.random.Generator) -> None:
        self.setup, self.layout, self.rng = setup, setup.layout, rng

    @abstractmethod
    def furnish(self, kitchen: Kitchen) -> None:
        """Add what the task needs and let it come to rest; the robot comes afterwards."""

    def begin(self) -> None:  # noqa: B027 (most tasks have nothing to do here)
        """Last preparations, the robot in place."""

    @abstractmethod
    def judge(self, steps: int) -> tuple[bool, dict[str, Any]]:
        """After so many actions: whether the task's rule holds, and the published partial measures."""

    @abstractmethod
    def truth(self) -> dict[str, np.ndarray]:
        """What experts may know beyond the poses and boxes of all objects."""


class PickCokeCan(FractalTask):
    """Success: held by the robot alone, more than 1 cm up; or it was more than 2 cm up for five steps."""

    def furnish(self, kitchen: Kitchen) -> None:
        self.kitchen, can = kitchen, self.layout.objects[0]
        self.name = can.name
        kitchen.add_object(can)
        kitchen.settle([can.name])
        self.rest = float(kitchen.position(can.name)[2])
        self.running = self.high = 0
        self.lifted = self.firm_once = self.grasped_once = False
        self._scatter(can)

    def judge(self, steps: int) -> tuple[bool, dict[str, Any]]:
        held = grasped(self.kitchen, self.name)
        self.running = self.running + 1 if held else 0
        firm = self.running >= FIRM
        above = float(self.kitchen.position(self.name)[2]) - self.rest
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
        return {"pick": self.kitchen.box(self.name)}

    def _scatter(self, can: Placed) -> None:
        """Let further objects fall, one after the other, at least 25 cm from the can."""
        names = list(self.kitchen.look.distractors)
        for name in names:
            xy = np.asarray(can.xy)
            while np.linalg.norm(xy - can.xy) <= 0.25:
                shift = self.rng.uniform(-0.3, 0.3, 2)
                xy = np.clip(np.asarray(can.xy) + shift, [-0.50, 0.05], [-0.1, 0.35])
            self.kitchen.add_object(Placed(name, (float(xy[0]), float(xy[1])), can.angles))
            self.kitchen.lock(name, [True, True, False, True, True, False])
            self.kitchen.steps(0.5)
        for name in names:
            self.kitchen.release(name)
            self.kitchen.steps(0.5)
        if names and self.kitchen.restless(names):
            self.kitchen.steps(1.5)


class MoveNear(FractalTask):
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
        self.rest = {name: kitchen.position(name) for name in self.names}
        self.reach = NEARBY + self._radius(self.source) + self._radius(self.target)

    def judge(self, steps: int) -> tuple[bool, dict[str, Any]]:
        kitchen, others = self.kitchen, [name for name in self.names if name != self.source]
        third = [name for name in others if name != self.target]
        kept = all(kitchen.position(name)[2] - self.rest[name][2] > FALLEN for name in third) and all(
            kitchen.centre(name)[2] - self.rest[name][2] > DROPPED for name in (self.source, self.target)
        )
        way = {name: self._way(name) for name in self.names}
        furthest = max(way[name] for name in others)
        right = way[self.source] > MOVED and all(way[name] < way[self.source] for name in others)
        centre = kitchen.centre(self.source)[:2]
        distance = float(np.linalg.norm(centre - kitchen.centre(self.target)[:2]))
        to_others = [float(np.linalg.norm(centre - kitchen.position(name)[:2])) for name in others]
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
        return {"pick": self.kitchen.box(self.source), "place": self.kitchen.box(self.target)}

    def _way(self, name: str) -> float:
        """How far an object has moved along the table, metres."""
        return float(np.linalg.norm(self.rest[name][:2] - self.kitchen.position(name)[:2]))

    def _radius(self, name: str) -> float:
        """Half the diagonal of the model's box seen from above, as it stands; published as a rotated size."""
        corners = model_facts()[self.kitchen.look.model(name)]["bbox"]
        size = np.array(corners["max"]) - np.array(corners["min"])
        w, x, y, z = np.asarray(self.kitchen.objects[name].pose.q, np.float64)
        return float(np.linalg.norm(Rotation.from_quat([x, y, z, w]).apply(size)[:2]) / 2)


class Drawer(FractalTask):
    """Open or close a drawer; success: it is at least 15 cm open, or at most 5 cm."""

    def furnish(self, kitchen: Kitchen) -> None:
        self.kitchen = kitchen
        kitchen.add_cabinet()
        self.link = kitchen.cabinet.find_link_by_name(f"{self.layout.drawer}_drawer")
        joints = [joint.name for joint in kitchen.cabinet.active_joints]
        self.index = joints.index(f"{self.layout.drawer}_drawer_joint")

    def begin(self) -> None:
        positions = np.zeros(len(DRAWERS))
        if self.setup.task == CLOSE:
            positions[self.index] = AJAR
        self.kitchen.cabinet.set_qpos(positions)
        self.kitchen.cabinet.set_qvel(np.zeros(len(DRAWERS)))

    def judge(self, steps: int) -> tuple[bool, dict[str, Any]]:
        opening = self.opening()
        done = opening <= CLOSED if self.setup.task == CLOSE else opening >= OPENED
        return done, {"qpos": opening}

    def opening(self) -> float:
        """Metres."""
        return float(self.kitchen.cabinet.get_qpos()[self.index])

    def truth(self) -> dict[str, np.ndarray]:
        pose = matrix_of(self.link.entity.pose)
        return {
            "handle": pose[:3, :3] @ HANDLE + pose[:3, 3],
            "edge": pose[:3, :3] @ EDGE + pose[:3, 3],
            "handle_axis": pose[:3, 0].copy(),
            "drawer": np.array([self.opening()]),
        }


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
        return {**super().truth(), "pick": self.kitchen.box(self.name), "place": inside}


TASKS: tuple[type[FractalTask], ...] = (PickCokeCan, MoveNear, Drawer, Drawer, PlaceApple)


def impulse(contact: Any) -> np.ndarray:
    """The sum over all points of a contact, on its first body [3]."""
    return np.sum([point.impulse for point in contact.points], axis=0) if contact.points else np.zeros(3)


def impulse_on(contacts: list[Any], body: Any, other: Any, shape: Any = None) -> np.ndarray:
    """What `other` (or only one collision shape of it) does to `body`, [3]."""
    total = np.zeros(3)
    for contact in contacts:
        first, second = contact.bodies
        if shape is not None and contact.shapes[1 if first == body else 0] != shape:
            continue
        if first == body and second == other:
            total += impulse(contact)
        elif first == other and second == body:
            total -= impulse(contact)
    return total


def grasped(kitchen: Kitchen, name: str) -> bool:
    """Whether both fingers press on an object, each roughly against its opening direction."""
    contacts, body = kitchen.scene.get_contacts(), kitchen.bodies[name]
    return all(_presses(kitchen, contacts, body, links) for links in FINGER_LINKS.values())


def _presses(kitchen: Kitchen, contacts: list[Any], body: Any, names: tuple[str, ...]) -> bool:
    links = [kitchen.robot.links[name] for name in names]
    pushes = [impulse_on(contacts, link, body) for link in links]
    strongest = max(float(np.linalg.norm(push)) for push in pushes)
    angles = [
        _angle(link.entity.pose.to_transformation_matrix()[:3, 1], push)
        for link, push in zip(links, pushes, strict=True)
    ]
    return strongest >= LEAST and min(angles) <= WIDEST


def supported(kitchen: Kitchen, name: str) -> bool:
    """Whether an object touches anything but the robot."""
    body = kitchen.bodies[name]
    for contact in kitchen.scene.get_contacts():
        if body not in contact.bodies:
            continue
        first, second = contact.bodies
        other = second if first == body else first
        if other.entity.name not in kitchen.robot.links and np.linalg.norm(impulse(contact)) > LEAST:
            return True
    return False


def _angle(one: np.ndarray, other: np.ndarray) -> float:
    """Between two vectors, degrees; 90 where one has no length."""
    lengths = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
    if float(np.linalg.norm(other)) < 1e-6:
        return 90.0
    return float(np.degrees(np.arccos(np.clip(float(one @ other) / lengths, -1.0, 1.0))))
