"""Policies of Bridge and Fractal drive the robots they were made for, and no other."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from playloop.agents.base import Plan, RowAgent
from playloop.agents.dialect import DialectConfig
from playloop.agents.translation import STICKY, Grip, gripped, relative_gripper, turned
from playloop.core.episode import Episode
from playloop.envs.simpler.config import SimplerConfig
from playloop.policies.dialects import ACTION_NAMES
from playloop.policies.resize import area, fit_with_border, lanczos

ROBOT = SimplerConfig().contract()


@dataclass
class Speaker(RowAgent):
    """Says one chunk over and over, and remembers what it was shown."""

    chunk: np.ndarray
    reads = frozenset({"images"})
    rows = 4

    def prepare(self, contract):
        assert contract.family.endswith("_dataset") and contract.action_names == ACTION_NAMES
        self.contract = contract

    def begin(self, episode):
        return 0

    def decide(self, carry, observation, rng):
        self.seen = observation
        return carry + 1, Plan(self.chunk.astype(np.float32))


def agent(chunk, **settings):
    return DialectConfig(Speaker(np.atleast_2d(chunk)), **settings).make()


def test_a_policy_of_the_other_robot_is_refused():
    with pytest.raises(ValueError, match="fractal_dataset drive simpler_google_robot"):
        agent(np.zeros(7), dialect="fractal").prepare(ROBOT)


@pytest.mark.parametrize("bad", [{"dialect": "brigde"}, {"resize": "nearest"}])
def test_unknown_conventions_are_named(bad):
    with pytest.raises(ValueError, match=f"Config.{next(iter(bad))}='.*: choose from"):
        agent(np.zeros(7), **bad)


def test_what_the_policy_is_told_is_declared():
    made = agent(np.zeros(7), size=(256, 320), resize="border")
    made.prepare(ROBOT)
    told = made.inner.contract
    assert list(told.cameras.values()) == [(256, 320)] and "black border" in str(told.image)
    assert told.control_hz == ROBOT.control_hz


def test_actions_are_turned_and_pictures_resized():
    made = agent([0.01, -0.02, 0.03, 0.3, -0.2, 0.5, 0.9])
    made.prepare(ROBOT)
    episode = Episode("bridge", 0, 0)
    [camera] = ROBOT.cameras
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    (carry,), (plan,) = made.act(
        [made.begin(episode)], [{"images": {camera: image}, "instruction": ""}], [episode.rng(0)]
    )
    wanted = Rotation.from_euler("xyz", [0.3, -0.2, 0.5]).as_rotvec()
    np.testing.assert_allclose(plan.actions[0], [0.01, -0.02, 0.03, *wanted, 1.0], atol=1e-6)
    assert made.inner.seen["images"][camera].shape == (224, 224, 3) and carry.inner == 1


def relative(grip, openings):
    return gripped(grip, np.array(openings, float), "opening", "relative-closes-positive", binary=False)


def test_the_google_robots_gripper_goes_on_over_the_end_of_a_chunk():
    grip, first = relative(Grip(), [1, 1, 0, 0, 0, 0, 0, 0])
    grip, second = relative(grip, [0] * 8)
    grip, third = relative(grip, [0] * 8)
    closing = np.concatenate([first, second, third])
    assert closing[:2].tolist() == [0, 0] and (closing[2:17] == 1).all() and (closing[17:] == 0).all()


def turn(axis: int, angle: float) -> np.ndarray:
    """The matrix of a rotation about x, y or z, written out."""
    matrix, (a, b) = np.eye(3), [(1, 2), (2, 0), (0, 1)][axis]
    matrix[a, a] = matrix[b, b] = math.cos(angle)
    matrix[b, a], matrix[a, b] = math.sin(angle), -math.sin(angle)
    return matrix


def matrix_of(axis_angle: np.ndarray) -> np.ndarray:
    """Rodrigues' formula."""
    angle = np.linalg.norm(axis_angle)
    x, y, z = axis_angle / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def test_angles_turn_about_fixed_axes_x_first():
    actions = np.random.default_rng(0).uniform(-1.5, 1.5, (50, 7))
    found = turned(actions, ACTION_NAMES)
    for (*_, roll, pitch, yaw, _), action in zip(actions, found, strict=True):
        wanted = turn(2, yaw) @ turn(1, pitch) @ turn(0, roll)
        np.testing.assert_allclose(matrix_of(action[3:6].astype(float)), wanted, atol=1e-6)
    assert not turned(np.zeros((1, 7)), ACTION_NAMES)[0, :6].any()


def test_widowx_opens_or_closes():
    openings = np.array([0.0, 0.5, 0.51, 1.0])
    assert gripped(Grip(), openings, "opening", "opens-positive", binary=True)[1].tolist() == [-1, -1, 1, 1]


def commands(openings):
    grip, found = Grip(), []
    for opening in openings:
        grip, command = relative_gripper(grip, opening)
        found.append(command)
    return found


def test_a_change_goes_on_for_fifteen_steps():
    assert commands([1.0] * 3 + [0.0] * 20) == [0.0] * 3 + [1.0] * STICKY + [0.0] * 5


def test_what_is_asked_for_meanwhile_does_not_count_but_what_comes_behind_does():
    # Closed at step 1; opened for a moment at step 5, which is lost; opened at step 16, which counts again.
    openings = [1.0, *[0.0] * 4, 1.0, *[0.0] * 10, *[1.0] * 20]
    assert commands(openings) == [0.0, *[1.0] * STICKY, *[-1.0] * STICKY, *[0.0] * 5]


def test_a_small_change_is_given_once():
    assert commands([1.0, 0.75, 0.75, 0.25, 0.25]) == [0.0, 0.25, 0.0, 0.5, 0.0]


def test_lanczos_keeps_constants_and_follows_its_definition():
    flat = np.full((48, 64, 3), 77, np.uint8)
    assert (lanczos(flat, (20, 20)) == 77).all()
    image = np.random.default_rng(1).integers(0, 256, (30, 40, 1), np.uint8)

    def kernel(x):
        return np.sinc(x) * np.sinc(x / 3) if abs(x) < 3 else 0.0

    def value(row, column, scale=2.5):  # 30 → 12, 40 → 16
        total = weight = 0.0
        for r in range(30):
            for c in range(40):
                w = kernel((r + 0.5 - (row + 0.5) * scale) / scale)
                w *= kernel((c + 0.5 - (column + 0.5) * scale) / scale)
                total, weight = total + w * image[r, c, 0], weight + w
        return total / weight

    small = lanczos(image, (12, 16))
    for row, column in [(0, 0), (5, 7), (11, 15), (3, 14)]:
        assert abs(float(small[row, column, 0]) - np.clip(value(row, column), 0, 255)) <= 0.51


def test_a_border_keeps_the_ratio():
    image = np.random.default_rng(2).integers(0, 256, (480, 640, 3), np.uint8)
    found = fit_with_border(image, (256, 320))
    assert not found[:8].any() and not found[-8:].any()
    means = image.astype(float).reshape(240, 2, 320, 2, 3).mean((1, 3))
    np.testing.assert_array_equal(found[8:-8], means.astype(np.uint8))
    tall = fit_with_border(np.full((100, 50, 3), 9, np.uint8), (50, 50))
    assert (tall[:, 12:37] == 9).all() and not tall[:, :12].any() and not tall[:, 37:].any()


SIZES = [
    ((480, 640), (224, 224)),  # SimplerEnv's Bridge
    ((512, 640), (224, 224)),  # and Fractal
    ((448, 448), (224, 224)),
    ((97, 61), (96, 60)),
    ((61, 13), (1, 1)),
]


def test_areas_keep_the_bits_that_results_were_made_with():
    """Another build of OpenCV with other bits is another picture for a policy."""
    digest = hashlib.sha256()
    for source, target in SIZES:
        image = np.random.default_rng(sum(source)).integers(0, 256, (*source, 3), np.uint8)
        digest.update(area(image, target).tobytes())
    assert digest.hexdigest()[:16] == "2572fe566744f657"
    assert area(image[..., :1], (1, 1)).shape == (1, 1, 1)


@pytest.mark.parametrize("size", [(12, 17), (10, 20), (15, 20), (30, 7)])
def test_an_area_is_the_mean_of_what_it_covers(size):
    """The integral over each target's rectangle, in float64."""
    image = np.random.default_rng(4).integers(0, 256, (30, 40, 3), np.uint8)

    def covered(source, target):
        edges = np.linspace(0, source, target + 1)
        low = np.maximum(edges[:-1, None], np.arange(source))
        high = np.minimum(edges[1:, None], np.arange(1, source + 1))
        return np.maximum(high - low, 0) * target / source

    means = np.einsum("ah,bw,hwc->abc", covered(30, size[0]), covered(40, size[1]), image.astype(float))
    assert np.abs(area(image, size) - means).max() < 0.501


def test_areas_do_not_grow_and_that_is_said_before_the_first_step():
    with pytest.raises(ValueError, match="only shrinks; use resize=lanczos"):
        area(np.zeros((30, 40, 3), np.uint8), (31, 20))
    with pytest.raises(ValueError, match="480 x 640 cannot be made 500 x 500"):
        agent(np.zeros(7), size=(500, 500), resize="area").prepare(ROBOT)
    made = agent(np.zeros(7), resize="area")
    made.prepare(ROBOT)
    (told,) = made.inner.contract.cameras.values()
    assert told == (224, 224) and "INTER_AREA" in str(made.inner.contract.image)
    assert next(iter(made.provenance()["fit"]["cameras"].values()))["resize"] == "area"


@pytest.mark.parametrize("resize", [lanczos, fit_with_border, area])
def test_only_pictures_are_resized(resize):
    with pytest.raises(ValueError, match="uint8"):
        resize(np.zeros((4, 4, 3)), (2, 2))
