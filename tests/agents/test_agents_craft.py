"""The scripted player of the voxel world, in stored worlds and in situations made for it."""

import math

import numpy as np
import pytest

from playloop.agents.craft.expert import CraftExpertConfig, task_of
from playloop.agents.craft.paths import Ground, find_path, passage
from playloop.agents.craft.player import FASTEST, MOUSE, QUICKENING, snapped
from playloop.core.episode import Episode
from playloop.core.minecraft import index_of
from playloop.envs.craft.blocks import ID
from playloop.envs.craft.env import Craft, CraftConfig
from playloop.envs.craft.items import ITEM
from playloop.envs.craft.tasks import TASKS
from playloop.envs.toy import ToyReachConfig
from playloop.testing import check_agent

TASK = {task.name: number for number, task in enumerate(TASKS)}


class Chores(Craft):
    """Without free play, for which there is no expert."""

    def episodes(self):
        return [Episode("craft", task, 0) for task in (1, 2, 3)]


def play(episode, change=lambda env: None, **settings):
    """An episode under the expert: whether it succeeded, its actions [n, 25], the plans' info, the env."""
    env, agent = CraftConfig().make(), CraftExpertConfig(**settings).make()
    agent.prepare(env.contract)
    env.begin(episode)
    change(env)
    carry, actions, infos = agent.begin(episode), [], []
    while True:
        observation = {**env.observe(images=False), "privileged": env.privileged()}
        [carry], [plan] = agent.act([carry], [observation], [episode.rng("decision", len(infos))])
        infos.append(plan.info)
        for action in plan.actions:
            actions.append(action)
            outcome = env.advance(action)
            if outcome.terminated or outcome.truncated:
                return outcome.success, np.array(actions), infos, env


@pytest.mark.parametrize(
    ("task", "init"), [("treechop", 0), ("treechop", 3), ("navigate", 0), ("navigate", 2)]
)
def test_the_expert_succeeds_in_stored_worlds(task, init):
    success, actions, infos, _ = play(Episode("craft", TASK[task], init))
    assert success and len(actions) < 600
    assert all(info["expert"] == 1 for info in infos)


@pytest.mark.parametrize(("init", "shape"), [(0, "wall"), (1, "gate"), (3, "stairs"), (13, "pillar")])
def test_the_expert_builds_every_shape(init, shape):
    success, actions, _, env = play(Episode("craft", TASK["build"], init))
    assert success and env.task.shape == shape and len(actions) < 300


def test_the_view_turns_like_a_mouse():
    for task in ("treechop", "build"):
        turns = play(Episode("craft", TASK[task], 1))[1][:, -2:].astype(np.float64)
        assert np.abs(turns).max() <= FASTEST + MOUSE
        assert np.abs(np.diff(turns, axis=0)).max() <= QUICKENING + 2 * MOUSE
        np.testing.assert_allclose(turns / MOUSE, np.round(turns / MOUSE), atol=1e-3)


def test_the_same_episode_is_played_the_same_way():
    episode = Episode("craft", TASK["build"], 3)
    one, other = (play(episode, disturbance=0.1)[1] for _ in range(2))
    assert np.array_equal(one, other)


def test_disturbed_actions_are_marked_and_overcome():
    for task in ("navigate", "build"):
        success, _, infos, _ = play(Episode("craft", TASK[task], 2), disturbance=0.15)
        marks = [info["expert"] for info in infos]
        assert success and 0 < marks.count(0) < len(marks) / 2


def test_wrong_blocks_are_taken_away_first():
    def spoil(env):
        x, y, z, kind = env.task.plan[0]
        wrong = next(ID[f"{color}_wool"] for color in ("red", "blue") if ID[f"{color}_wool"] != kind)
        env.game.grid[x, y, z] = wrong

    success, actions, _, env = play(Episode("craft", TASK["build"], 1), spoil)
    assert success and actions[:, index_of("attack")].sum() >= 24
    assert env.game.inventory.count(ITEM["iron_pickaxe"]) == 1


def test_a_wall_of_leaves_is_no_obstacle():
    def enclose(env):
        x, y, z = np.floor(env.game.body.position).astype(int)
        for dx in range(-2, 3):
            for dz in range(-2, 3):
                if max(abs(dx), abs(dz)) == 2:
                    env.game.grid[x + dx, y : y + 4, z + dz] = ID["leaves"]
        env.game.grid[x - 2 : x + 3, y + 3, z - 2 : z + 3] = ID["bedrock"]

    success, actions, _, _ = play(Episode("craft", TASK["navigate"], 3), enclose)
    assert success and actions[:, index_of("attack")].sum() >= 6


def test_the_expert_gets_out_of_water():
    def flood(env):
        x, y, z = np.floor(env.game.body.position).astype(int)
        env.game.grid[x - 3 : x + 4, y - 3 : y, z - 3 : z + 4] = ID["water"]
        env.game.grid[x - 3 : x + 4, y : y + 3, z - 3 : z + 4] = 0

    assert play(Episode("craft", TASK["navigate"], 5), flood)[0]


def test_rows_do_not_mind_their_neighbours():
    check_agent(CraftExpertConfig().make, lambda: Chores(CraftConfig()))


def test_what_the_expert_cannot_do_is_refused():
    agent = CraftExpertConfig().make()
    with pytest.raises(ValueError, match="use env=craft"):
        agent.prepare(ToyReachConfig().contract())
    env = CraftConfig().make()
    env.begin(Episode("craft", TASK["explore"], 0))
    with pytest.raises(ValueError, match="treechop, navigate or build"):
        task_of({**env.observe(images=False), "privileged": env.privileged()})
    for settings in ({"chunk": 0}, {"chunk": 9}, {"disturbance": 1.5}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            CraftExpertConfig(**settings).make()


# ---------------------------------------------------------------------------------------------- paths


def field(height=4, kind="stone"):
    grid = np.zeros((20, 16, 20), np.uint8)
    grid[:, :height] = ID[kind]
    return grid


def way(grid, goal, start=(3, 4, 3), dig=()):
    def arrived(cell):
        return cell == goal

    return find_path(Ground(grid, frozenset(dig)), start, arrived, lambda cell: math.dist(cell, goal) * 0.5)


def test_ways_go_straight_and_around():
    grid = field()
    assert len(way(grid, (9, 4, 3))) == 7 and len(way(grid, (9, 4, 9))) == 7
    grid[6, 4:6, :12] = ID["stone"]
    around = way(grid, (9, 4, 3))
    assert any(cell[2] >= 12 for cell in around) and all(grid[cell] == 0 for cell in around)


def test_ways_climb_one_block_and_fall_several():
    grid = field()
    grid[6:, 4] = ID["stone"]
    assert way(grid, (9, 5, 3))[-1] == (9, 5, 3)
    grid[6:, 5] = ID["stone"]
    assert way(grid, (9, 6, 3)) is None
    assert way(grid, (3, 4, 3), start=(9, 6, 3))[-1] == (3, 4, 3)


def test_ways_are_dug_where_that_is_allowed():
    grid = field()
    grid[6, 4:9] = ID["leaves"]
    assert way(grid, (9, 4, 3)) is None
    assert len(way(grid, (9, 4, 3), dig={"leaves"})) == 7
    grid[6, 4:9] = ID["bedrock"]
    assert way(grid, (9, 4, 3), dig={"leaves", "bedrock"}) is None


def test_water_is_swum_but_not_jumped_from():
    grid = field()
    grid[6:10, 3] = ID["water"]
    shore = way(grid, (12, 4, 3))
    assert shore is None or all(cell[1] == 4 for cell in shore)
    grid[10, 3] = 0  # a step out of the water
    assert any(grid[cell] == ID["water"] for cell in way(grid, (12, 4, 3)))


def test_the_cells_of_a_jump_are_cleared_from_below():
    assert passage((3, 4, 3), (4, 5, 3)) == [(3, 6, 3), (4, 5, 3), (4, 6, 3)]
    assert passage((3, 4, 3), (4, 2, 3)) == [(4, 5, 3), (4, 4, 3), (4, 3, 3), (4, 2, 3)]


def test_rounded_positions_lie_beside_walls_again():
    for true in (8.7, 101.7, 64.3):
        place = np.float64(np.float32([true, 4.0, 5.25]))
        assert snapped(place)[0] == pytest.approx(true, abs=1e-12) and snapped(place)[2] == 5.25
