"""Fractal in the simulator: starts and moves as on SAPIEN 2, judged as published, equal to the bit."""

import json

import numpy as np
import pytest
from simpler_assets import why_skip

from playloop.core.episode import Episode
from playloop.core.robots import FRACTAL_CAMERA
from playloop.envs.simpler.config import SimplerConfig
from playloop.envs.simpler.fractal.env import photograph
from playloop.envs.simpler.fractal.layouts import APPLE, CLOSE, NEAR, OPEN, PICK

pytestmark = pytest.mark.skipif(bool(why_skip("fractal")), reason=why_skip("fractal"))

MOVES = np.array(
    [
        [0.04, 0, 0, 0, 0, 0, 0],
        [0.04, 0.03, -0.02, 0, 0, 0.1, 1],
        [0, 0.03, -0.02, 0.1, 0, 0, 0],
        [0, 0, 0.05, 0, -0.1, 0, -0.4],
        [-0.03, 0, 0.05, 0, 0, 0, 0],
        [-0.03, -0.05, 0, 0.05, 0.05, 0.05, -1],
    ]
)
UPSTREAM_HAND = np.array(
    [
        [-0.09519, 0.41852, 1.03997, 0.03203, -0.78005, -0.60432, 0.15905, 0.0, 0.0],
        [-0.11083, 0.41471, 1.03794, 0.03065, -0.77584, -0.60943, 0.16041, 0.19192, 0.19192],
        [-0.11762, 0.40581, 1.03154, 0.02373, -0.77067, -0.61495, 0.16538, 0.52525, 0.52525],
        [-0.11489, 0.39913, 1.02853, 0.01191, -0.77223, -0.61019, 0.17657, 0.61083, 0.61084],
        [-0.10962, 0.39862, 1.03919, 0.01332, -0.77186, -0.60988, 0.17917, 0.29201, 0.29201],
        [-0.09877, 0.40233, 1.04905, 0.00632, -0.77212, -0.61101, 0.17451, 0.00127, 0.00127],
    ]
)
"""Position, quaternion and fingers after each move: ManiSkill2_real2sim itself, run on SAPIEN 2.2.2."""
UPSTREAM_RESTS = {
    (PICK, 12): {"coke can": (-0.23411, 0.20016, 0.91809)},
    (PICK, 37): {"coke can": (-0.23581, 0.19902, 0.95520)},
    (PICK, 62): {"coke can": (-0.23484, 0.19911, 0.91809)},
    (NEAR, 0): {
        "blue plastic bottle": (-0.33192, 0.04486, 0.97313),
        "pepsi can": (-0.33, 0.34, 0.95029),
        "orange": (-0.12984, 0.1903, 0.92188),
    },
    (APPLE, 0): {"apple": (-0.0798, -0.01905, 0.91788)},
}
"""Where objects come to rest, likewise."""


@pytest.fixture(scope="module")
def env():
    made = SimplerConfig("fractal", shading="fast", success="any").make()
    yield made
    made.close()


def play(env, episode, steps=6, look=False):
    """Snapshots (and pictures) of an episode under actions that follow from its identity."""
    env.begin(episode)
    rng, states, pictures = episode.rng("test"), [env.snapshot()], []
    for _ in range(steps):
        env.advance(np.append(rng.uniform(-0.08, 0.08, 6), rng.uniform(-1, 1)))
        states.append(env.snapshot())
        if look:
            pictures.append(env.observe()["images"][FRACTAL_CAMERA])
    return states, pictures


def test_moves_as_upstream(env):
    env.begin(Episode("fractal", PICK, 12))
    for move, wanted in zip(MOVES, UPSTREAM_HAND, strict=True):
        env.advance(move)
        truth = env.privileged()
        assert truth["eef"][:3] == pytest.approx(wanted[:3], abs=1e-4)
        assert truth["eef"][3:] == pytest.approx(wanted[3:7], abs=1e-4)
        assert truth["fingers"] == pytest.approx(wanted[7:], abs=0.01)


@pytest.mark.parametrize("task, init", UPSTREAM_RESTS)
def test_objects_rest_as_upstream(env, task, init):
    env.begin(Episode("fractal", task, init))
    truth = env.privileged()
    for name, place in UPSTREAM_RESTS[task, init].items():
        assert truth[f"object/{name}"][:3] == pytest.approx(place, abs=2e-3), name


@pytest.mark.parametrize("task, init", [(PICK, 12), (OPEN, 5), (APPLE, 40)])
def test_equal_whatever_ran_before_and_whoever_looks(env, task, init):
    episode, other = (
        Episode("fractal", task, init),
        SimplerConfig("fractal", shading="fast", success="any").make(),
    )
    states, pictures = play(other, episode, look=True)
    play(env, Episode("fractal", (task + 1) % 5, 3), 2)
    again, _ = play(env, episode)
    assert all(np.array_equal(*pair) for pair in zip(states, again, strict=True))
    for state, picture in zip(states[1:], pictures, strict=True):
        env.restore(state)
        assert np.array_equal(env.snapshot(), again[-1])  # showing another moment changes nothing
        assert np.array_equal(env.observe()["images"][FRACTAL_CAMERA], picture)
    other.close()


def test_photograph_fills_what_is_not_simulated(env):
    env.begin(Episode("fractal", PICK, 12))
    picture = env.observe()["images"][FRACTAL_CAMERA].astype(int)
    photo = (photograph(env._camera.photo) * 255).astype(int)
    assert np.array_equal(picture[:100, :200], photo[:100, :200])
    can = picture[200:245, 285:365]
    assert (can[..., 0] - can[..., 1]).mean() > 60  # red, where upstream's picture has it
    assert np.abs(picture[180:300, 580:] - photo[180:300, 580:]).mean() > 30  # the gripper


def test_one_command_closes_the_gripper_and_zeros_go_on(env):
    env.begin(Episode("fractal", PICK, 12))
    close, wait = np.zeros(7), np.zeros(7)
    close[6] = 1.0
    env.advance(close)
    early = env.observe(images=False)["state"][6]
    for _ in range(4):
        env.advance(wait)
    assert 0.8 < early < 0.9 and env.observe(images=False)["state"][6] < 0.2


def test_can_counts_when_nothing_else_carries_it(env):
    env.begin(Episode("fractal", PICK, 37))
    assert not env.advance(np.zeros(7)).info["rule_holds"]
    can = env._kitchen.objects["coke can"]
    pose = can.pose
    pose.p = pose.p + np.array([0.0, 0.0, 0.9])  # it falls for a third of a second
    can.set_pose(pose)
    outcome = env.advance(np.zeros(7))
    assert outcome.success and outcome.terminated and not outcome.info["is_grasped"]
    assert json.loads(json.dumps(outcome.info)) == outcome.info


def test_near_counts_the_right_object_only(env):
    for name, success in (("blue plastic bottle", True), ("orange", False)):
        env.begin(Episode("fractal", NEAR, 0))  # the bottle to the pepsi can
        thing = env._kitchen.objects[name]
        pose = thing.pose
        pose.p = np.array([-0.33, 0.20, pose.p[2]])
        thing.set_pose(pose)
        outcome = env.advance(np.zeros(7))
        assert outcome.success == success == outcome.info["moved_correct"]


@pytest.mark.parametrize("task, start, opening", [(OPEN, 0.0, 0.16), (CLOSE, 0.2, 0.04)])
def test_drawers_count_their_opening(env, task, start, opening):
    env.begin(Episode("fractal", task, 9))
    assert env.privileged()["drawer"][0] == pytest.approx(start)
    assert not env.advance(np.zeros(7)).success
    middle = [joint.name for joint in env._kitchen.cabinet.active_joints].index("middle_drawer_joint")
    places = np.zeros(3)
    places[middle] = opening
    env._kitchen.cabinet.set_qpos(places)
    outcome = env.advance(np.zeros(7))
    assert outcome.success and outcome.info["qpos"] == pytest.approx(opening, abs=0.005)


def test_apple_counts_in_the_second_half(env):
    env.begin(Episode("fractal", APPLE, 9))
    top = [joint.name for joint in env._kitchen.cabinet.active_joints].index("top_drawer_joint")
    places = np.zeros(3)
    places[top] = 0.2
    env._kitchen.cabinet.set_qpos(places)
    apple = env._kitchen.objects["apple"]
    pose = apple.pose
    pose.p = np.array([0.12, 0.0, 0.72])
    apple.set_pose(pose)
    outcome = env.advance(np.zeros(7))
    assert outcome.info["has_contact"] and outcome.info["is_drawer_open"] and not outcome.success
    env._steps = 100
    assert env.advance(np.zeros(7)).success
    assert env.observe(images=False)["instruction"] == "place apple into top drawer"


def test_variants_change_the_picture_and_not_the_start():
    env = SimplerConfig("fractal_variants", shading="fast").make()
    seen = []
    for variant in (0, 3, 4):  # base, brighter, darker
        env.begin(Episode("fractal_variants", PICK, 75 * variant + 12))
        seen.append((env.snapshot(), env.observe()["images"][FRACTAL_CAMERA].mean()))
    assert np.array_equal(seen[0][0], seen[1][0]) and np.array_equal(seen[0][0], seen[2][0])
    assert seen[1][1] > seen[0][1] > seen[2][1]
    with pytest.raises(FileNotFoundError, match="alt_background"):
        env.begin(Episode("fractal_variants", PICK, 75))
    env.close()


def test_says_what_is_wrong():
    env = SimplerConfig("fractal", shading="fast").make()
    with pytest.raises(RuntimeError, match="begin or reset"):
        env.observe()
    with pytest.raises(ValueError, match="plays fractal, not toy"):
        env.begin(Episode("toy", 0, 0))
    env.begin(Episode("fractal", PICK, 0))
    for action in (np.full(7, np.nan), np.zeros(6)):
        with pytest.raises(ValueError, match="7"):
            env.advance(action)
    with pytest.raises(ValueError, match="another scene"):
        env.restore(np.zeros(20))
    env.close()
