"""Who touches whom, and how hard: impulses of the last simulation step, newton-seconds."""

from __future__ import annotations

from typing import Any

import numpy as np

from playloop.envs.simpler.fractal.robot import FINGER_LINKS
from playloop.envs.simpler.fractal.scene import Kitchen

LEAST = 1e-6
"""Impulses up to this are no contact."""
WIDEST = 80.0
"""Degrees between a finger's opening direction and the impulse on it, at most, for a grasp."""


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
