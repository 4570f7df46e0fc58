"""The doctor knows a right simulator from a wrong one."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import simpler_assets

from playloop.envs import doctor, findings
from playloop.envs.simpler import vulkan

FIX = doctor.MUJOCO_FIX
CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"


@pytest.fixture(params=doctor.SCENES, ids=lambda scene: scene.key)
def stored(request):
    return findings.reference(request.param)


def test_tested_versions_are_those_of_the_constraints():
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", CONSTRAINTS.read_text(), re.M))
    assert {name: pinned[name] for name in doctor.TESTED} == doctor.TESTED


def test_the_stored_scene_agrees_with_itself(stored):
    assert all(finding.good for finding in findings.compare_scene("scene", stored, stored, FIX))


def test_a_shifted_object_is_found(stored):
    name = next(key for key in stored if key.startswith("object/"))
    seen = {**stored, name: stored[name] + np.array([0.006, 0, 0, 0, 0, 0, 0])}
    poses, image = findings.compare_scene("scene", seen, stored, FIX)
    assert not poses.good and name in poses.text and "6.000 mm" in poses.text and "mujoco==3.3.2" in poses.fix
    assert image.good


def test_a_darker_floor_is_found(stored):
    darker = {**stored, "image": (stored["image"] * 0.75).astype(np.uint8)}
    poses, image = findings.compare_scene("scene", darker, stored, FIX)
    assert poses.good and not image.good and "mujoco==3.3.2" in image.fix


def test_the_other_sign_of_a_quaternion_is_the_same_rotation():
    quaternion = np.array([0.5, 0.5, -0.5, 0.5])
    assert findings.rotation_difference(quaternion, -quaternion) == 0.0


def test_this_machine_is_well(monkeypatch):
    monkeypatch.setattr(vulkan, "why_not", simpler_assets.why_not)  # its answer, which may be known
    findings = []
    assert doctor.examine(findings.append), [finding for finding in findings if not finding.good]
    subjects = [finding.subject for finding in findings]
    assert subjects[: len(doctor.TESTED) + 1] == [*doctor.TESTED, "GL back end"]
    assert all(f"{scene.key} {part}" in subjects for scene in doctor.SCENES for part in ("poses", "image"))
    assert "SimplerEnv" in subjects or {"Vulkan", "bridge", "fractal"} <= set(subjects)
