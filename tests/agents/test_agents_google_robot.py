"""The Google robot's scripted expert: its grasps on boxes, its success in the simulator."""

import numpy as np
import pytest
from simpler_assets import why_skip

from playloop.agents.google_robot import (
    GoogleRobotExpertConfig,
    grasp_point,
    grasp_rotation,
    lean,
    resting_point,
)
from playloop.core.episode import FRESH, Episode
from playloop.envs.simpler.config import SimplerConfig
from playloop.envs.simpler.fractal.layouts import CLOSE, NEAR, OPEN, PICK
from playloop.testing import check_agent

simulated = pytest.mark.skipif(bool(why_skip("fractal")), reason=why_skip("fractal"))


def box(centre, size):
    centre, size = np.array(centre, float), np.array(size, float)
    return np.stack([centre - size / 2, centre + size / 2])


def scene(size, centre=(-0.2, 0.2), **others):
    """An object on the table, the hand above it."""
    pick = box((*centre, 0.886 + size[2] / 2), size)
    truth = {
        "base": np.array([0.35, 0.2, 0.079]),
        "base_yaw": np.array([np.pi]),
        "eef": np.array([-0.09, 0.42, 1.04, 0.032, -0.78, -0.604, 0.16]),
        "pick": pick,
        "box/object": pick,
    }
    return truth | {f"box/{name}": value for name, value in others.items()}


def test_closes_across_the_narrow_side():
    assert abs(grasp_rotation(scene((0.07, 0.16, 0.06)))[0, 1]) > 0.9
    assert abs(grasp_rotation(scene((0.16, 0.07, 0.06)))[1, 1]) > 0.9


def test_rotation_is_a_rotation_that_looks_down():
    for place in ((-0.13, 0.2), (-0.35, -0.02), (-0.35, 0.42)):
        rotation = grasp_rotation(scene((0.07, 0.07, 0.12), place))
        assert rotation.T @ rotation == pytest.approx(np.eye(3), abs=1e-9)
        assert np.linalg.det(rotation) == pytest.approx(1.0) and rotation[2, 2] < -0.6


def test_leans_to_what_is_far():
    near, far = (scene((0.07, 0.07, 0.12), (x, 0.2)) for x in (-0.13, -0.35))
    assert lean(near) < 0.2 < 0.5 < lean(far)


def test_tips_keep_clear_of_table_and_palm():
    assert grasp_point(scene((0.1, 0.1, 0.036)))[2] > 0.886
    tall = scene((0.06, 0.06, 0.13))
    assert tall["pick"][1, 2] - grasp_point(tall)[2] < 0.08


def test_rests_beside_the_target_and_away_from_the_third():
    target, third = box((-0.33, 0.34, 0.95), (0.06, 0.06, 0.12)), box((-0.13, 0.19, 0.92), (0.07, 0.07, 0.07))
    truth = scene((0.06, 0.06, 0.12), (-0.33, 0.04), target=target, third=third) | {"place": target}
    point = resting_point(truth, grasp_rotation(truth))
    distances = [np.linalg.norm(point[:2] - other.mean(0)[:2]) for other in (target, third)]
    assert 0.1 < distances[0] < 0.16 and distances[1] > distances[0]


@pytest.fixture(scope="module")
def env():
    made = SimplerConfig("fractal", shading="fast", success="any").make()
    yield made
    made.close()


@simulated
def test_keeps_the_contract():
    make = SimplerConfig("fractal", shading="fast", success="any").make
    check_agent(GoogleRobotExpertConfig().make, make)


@simulated
@pytest.mark.parametrize(
    ("task", "init", "disturbance"),
    [
        (PICK, 7, 0),
        (PICK, 37, 0.1),
        (PICK, 62, 0),
        (PICK, FRESH, 0),
        (NEAR, 16, 0),
        (OPEN, 3, 0),
        (CLOSE, 12, 0),
    ],
)
def test_succeeds(env, task, init, disturbance):
    agent, episode = (
        GoogleRobotExpertConfig(disturbance=disturbance).make(),
        Episode("fractal", task, init, 4),
    )
    env.begin(episode)
    carry, marks, outcome = agent.begin(episode), [], None
    while outcome is None or not (outcome.terminated or outcome.truncated):
        observation = env.observe(images=False) | {"privileged": env.privileged()}
        carry, plan = agent.decide(carry, observation, episode.rng("decision", len(marks)))
        marks.append(plan.info["expert"])
        for action in plan.actions:
            outcome = env.advance(action)
            if outcome.terminated or outcome.truncated:
                break
    assert outcome.success and (0 in marks) == bool(disturbance)
