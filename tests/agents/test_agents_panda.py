"""The scripted expert: its choice of grasps on boxes, its success in the real simulator."""

from importlib.util import find_spec

import numpy as np
import pytest

from playloop.agents.panda import (
    FINGERS,
    HAND,
    Grasp,
    PandaExpertConfig,
    PandaPhase,
    rank_grasps,
    release_point,
    travel_height,
)
from playloop.core.contract import Contract
from playloop.core.episode import FRESH, Episode
from playloop.envs.libero import LiberoConfig
from playloop.envs.toy import ToyReachConfig

UPRIGHT = np.array([0.0, 1.0, 0.0, 0.0])  # the hand looks down
simulated = pytest.mark.skipif(
    find_spec("libero") is None, reason="LIBERO is not installed: pip install 'playloop[libero]'"
)


def box(centre, size):
    centre, size = np.array(centre, float), np.array(size, float)
    return np.stack([centre - size / 2, centre + size / 2])


def scene(size=(0.06, 0.06, 0.08), obstacles=()):
    """An object on a table 0.5 m before the arm, a basket beside it."""
    centre = np.array([0.0, 0.0, size[2] / 2])
    return {
        "base": np.array([-0.5, 0.0, 0.0]),
        "pick": box(centre, size),
        "place": box((0.0, 0.3, 0.06), (0.2, 0.2, 0.12)),
        "obstacles": np.array(obstacles, float).reshape(-1, 2, 3),
        "eef": np.concatenate([[0.0, 0.0, 0.3], UPRIGHT]),
        "fingers": np.array([0.04, -0.04]),
    }


def clear_of(truth, grasp):
    """Whether no part of hand and fingers stands in an obstacle."""
    shapes = np.concatenate([HAND[None], FINGERS])
    shapes = shapes[..., [1, 0, 2]] if grasp.turned else shapes
    shapes = shapes + truth["pick"].mean(0) + grasp.offset
    low = np.maximum(shapes[:, None, 0], truth["obstacles"][None, :, 0])
    high = np.minimum(shapes[:, None, 1], truth["obstacles"][None, :, 1])
    return not (high > low).all(-1).any()


def test_a_free_object_is_held_in_its_middle_unturned():
    best = rank_grasps(scene())[0]
    assert not best.turned and np.allclose(best.offset[:2], 0)


def test_a_neighbour_where_a_finger_would_go_turns_the_hand():
    free, beside = scene(), scene(obstacles=[box((0.0, 0.055, 0.03), (0.1, 0.04, 0.06))])
    assert not clear_of(beside, rank_grasps(free)[0])
    best = rank_grasps(beside)[0]
    assert best.turned and clear_of(beside, best)


def test_a_long_box_is_held_away_from_a_tall_neighbour():
    """The hand above would hit a tower at one end; the grasp moves towards the other."""
    tower = box((0.1, 0.0, 0.15), (0.06, 0.3, 0.3))
    truth = scene(size=(0.18, 0.05, 0.06), obstacles=[tower])
    best = rank_grasps(truth)[0]
    assert clear_of(truth, best) and not best.turned and best.offset[0] <= 0


def test_a_bowl_is_held_at_the_rim_that_is_free():
    size = (0.12, 0.12, 0.06)
    rim = rank_grasps(scene(size))[0]
    assert np.linalg.norm(rim.offset[:2]) == pytest.approx(0.06 - 0.006, abs=1e-6)
    side = np.sign(rim.offset[1])
    wall = box((0.0, side * 0.08, 0.1), (0.4, 0.05, 0.2))
    walled = scene(size, [wall])
    other = rank_grasps(walled)[0]
    assert clear_of(walled, other) and not clear_of(walled, rim)
    assert other.turned or np.sign(other.offset[1]) == -side


def test_all_candidates_are_ranked_and_the_order_is_repeatable():
    truth = scene(obstacles=[box((0.05, 0.05, 0.05), (0.05, 0.05, 0.1))])
    first, second = rank_grasps(truth), rank_grasps(truth)
    assert len(first) == 10 and len(rank_grasps(scene((0.12, 0.12, 0.06)))) == 12
    assert [(*g.offset, g.turned) for g in first] == [(*g.offset, g.turned) for g in second]


def test_the_object_travels_above_what_stands_around_it():
    grasp, wall = Grasp(np.array([0.0, 0.0, 0.02])), box((0.0, 0.06, 0.2), (0.2, 0.02, 0.4))
    walled, free = scene(obstacles=[wall]), scene()
    bottom = walled["eef"][2] - walled["pick"][0, 2]
    assert travel_height(grasp, walled) >= 0.4 + bottom > travel_height(grasp, free)
    assert travel_height(grasp, free) >= release_point(grasp, free)[2]
    assert release_point(grasp, free)[:2].tolist() == [0.0, 0.3]


def observation(truth):
    return {"privileged": truth, "state": np.zeros(8, np.float32), "instruction": "x"}


def test_disturbances_are_marked_and_only_they():
    truth = scene()
    calm, wild = PandaExpertConfig().make(), PandaExpertConfig(disturbance=1.0).make()
    _, (plan,) = calm.act([PandaPhase()], [observation(truth)], [np.random.default_rng(0)])
    assert plan.info["expert"] == 1 and plan.actions.shape == (1, 7)
    _, (plan,) = wild.act([PandaPhase()], [observation(truth)], [np.random.default_rng(0)])
    assert plan.info["expert"] == 0 and 3 <= len(plan.actions) <= 6 and plan.actions.shape[1] == 7
    assert np.abs(plan.actions).max() <= 1 and (plan.actions[:, 6] == -1).all()
    grasping = PandaPhase("close", 3, upright=UPRIGHT, grasp=Grasp(np.zeros(3)))
    _, (plan,) = wild.act([grasping], [observation(truth)], [np.random.default_rng(0)])
    assert plan.info["expert"] == 1 and plan.actions[0, 6] == 1, "a closing hand is left in peace"


def test_a_grasp_that_is_meant_to_miss_is_beside_the_object_and_marked():
    agent = PandaExpertConfig(misses=1.0).make()
    (carry,), (plan,) = agent.act([PandaPhase()], [observation(scene())], [np.random.default_rng(0)])
    best = rank_grasps(scene())[0]
    assert 0.025 <= np.linalg.norm((carry.grasp.offset - best.offset)[:2]) <= 0.06
    assert carry.missing and plan.info["expert"] == 0
    empty = scene() | {"fingers": np.zeros(2)}  # the fingers closed on nothing
    lifting = PandaPhase("lift", 5, 0, True, UPRIGHT, carry.grasp, 0.3)
    for seed in range(200):  # a while later it notices, opens and tries the best grasp
        (lifting,), (plan,) = agent.act([lifting], [observation(empty)], [np.random.default_rng(seed)])
        if lifting.phase == "retreat":
            break
    assert lifting.phase == "retreat" and lifting.tries == 0 and seed > 0
    assert plan.info["expert"] == 1 and plan.actions[0, 6] == -1


def test_taking_over_continues_with_what_the_hand_holds():
    expert, start = PandaExpertConfig().make(), PandaPhase(upright=UPRIGHT)
    away = expert.resume(start, scene())
    assert away.phase == "reach" and away.grasp is None and away.upright is UPRIGHT
    hand = np.concatenate([[0.0, 0.01, 0.05], UPRIGHT])
    holding = scene() | {"eef": hand, "fingers": np.array([0.02, -0.02])}
    held = expert.resume(start, holding)
    assert held.phase == "lift" and np.allclose(held.grasp.offset, [0.0, 0.01, 0.01])
    assert not held.grasp.turned and held.height > release_point(held.grasp, holding)[2]
    for fingers in (0.04, 0.0):  # open, or shut on nothing
        empty = holding | {"fingers": np.array([fingers, -fingers])}
        assert expert.resume(start, empty).phase == "reach"


def test_a_row_does_not_mind_its_neighbours():
    agent = PandaExpertConfig(disturbance=0.5).make()
    scenes = [scene(), scene((0.12, 0.12, 0.06)), scene((0.18, 0.05, 0.06))]
    rngs = [np.random.default_rng(row) for row in range(3)]
    _, together = agent.act([PandaPhase()] * 3, list(map(observation, scenes)), rngs)
    for row, truth in enumerate(scenes):
        _, (plan,) = agent.act([PandaPhase()], [observation(truth)], [np.random.default_rng(row)])
        assert np.array_equal(plan.actions, together[row].actions)


def test_what_the_expert_cannot_do_is_refused_before_the_first_step():
    with pytest.raises(ValueError, match="7-dimensional arm"):
        PandaExpertConfig().make().prepare(ToyReachConfig().contract())
    PandaExpertConfig().make().prepare(LiberoConfig().contract())
    assert isinstance(LiberoConfig().contract(), Contract)
    with pytest.raises(ValueError, match="object to pick"):
        PandaExpertConfig().make().act([PandaPhase()], [{"state": np.zeros(8)}], [np.random.default_rng(0)])


def play(env, agent, episode):
    """Whether the expert succeeds, and how each step was marked."""
    env.begin(episode)
    carry, marks = agent.begin(episode), []
    for decision in range(env.horizon):
        seen = env.observe(images=False) | {"privileged": env.privileged()}
        (carry,), (plan,) = agent.act([carry], [seen], [episode.rng("decision", decision)])
        for action in plan.actions:
            outcome = env.advance(action)
            marks.append(plan.info["expert"])
            if outcome.terminated or outcome.truncated:
                return outcome.success, marks
    raise AssertionError("the episode did not end at its horizon")


@simulated
@pytest.mark.parametrize(
    ("suite", "task", "mistake"), [("libero_object", 1, "disturbance"), ("libero_spatial", 4, "misses")]
)
def test_overcomes_its_mistakes_and_leaves_the_object_at_rest(suite, task, mistake):
    """A product in the basket, disturbed on the way; a bowl on the plate, missed at first."""
    agent = PandaExpertConfig(**{mistake: 0.05 if mistake == "disturbance" else 1.0}).make()
    env = LiberoConfig(suite, success_steps=10, horizon=300).make()
    try:
        success, marks = play(env, agent, Episode(suite, task, FRESH, 1001))
        assert success and 3 <= marks.count(0) < marks.count(1)
        truth = env.privileged()
        assert (np.abs(truth["pick"].mean(0) - truth["place"].mean(0))[:2] < 0.1).all()
    finally:
        env.close()
