import copy
import subprocess
import sys
from pathlib import Path

import craft_digest
import numpy as np
import pytest
from craft_worlds import AHEAD, flat_game, press

from playloop.core.episode import FRESH, Episode
from playloop.core.minecraft import action_vector
from playloop.envs.craft.blocks import ID
from playloop.envs.craft.body import Drop
from playloop.envs.craft.boxes import draw_box, span_of
from playloop.envs.craft.env import STATE_NAMES, CraftConfig
from playloop.envs.craft.items import ITEM
from playloop.envs.craft.render import draw_view, render, view_plane
from playloop.envs.craft.tasks import TASKS
from playloop.envs.craft.textures import STAGES, cracks, item_texture

NOTHING = action_vector({})
TASK = {task.name: number for number, task in enumerate(TASKS)}
PINNED = "83573a6590cf34e2"


@pytest.fixture(scope="module")
def env():
    return CraftConfig().make()


def begin(env, task, init=0, seed=0):
    env.begin(Episode("craft", TASK[task], init, seed))
    return env.game


def value(env, name):
    return env.observe(images=False)["state"][STATE_NAMES.index(name)]


@pytest.mark.parametrize("size", [(64, 64), (128, 128), (224, 384), (360, 640)])
def test_sizes(size):
    env = CraftConfig(size=size).make()
    env.begin(env.episodes()[0])
    picture = env.observe()["images"]["pov"]
    assert picture.shape == (*size, 3) and env.observation_space["images"]["pov"].shape == (*size, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100


@pytest.mark.parametrize("size", [(16, 64), (64, 32), (4000, 4000)])
def test_impossible_sizes_are_refused(size):
    with pytest.raises(ValueError, match="32 x 56"):
        CraftConfig(size=size).make()


def test_processes_agree_to_the_bit():
    script = Path(craft_digest.__file__)
    other = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert craft_digest.digest() == other.stdout.strip() == PINNED


def test_looking_changes_nothing(env):
    game = begin(env, "explore")
    press(game, "attack", "forward", "drop", ticks=10, pitch=30)
    before = copy.deepcopy(game)
    env.observe()
    assert np.array_equal(before.grid, game.grid) and before.inventory == game.inventory
    assert before.rng.bit_generator.state == game.rng.bit_generator.state
    for one, other in zip(before.drops, game.drops, strict=True):
        assert np.array_equal(one.position, other.position) and one.age == other.age


def test_a_stored_world_is_the_same_for_every_seed_and_a_fresh_one_is_not(env):
    for task in TASK:
        worlds = [(begin(env, task, init, seed), env.task) for init, seed in ((4, 0), (4, 9), (5, 0))]
        worlds += [(begin(env, task, FRESH, seed), env.task) for seed in (0, 9)]
        grids = [game.grid.tobytes() for game, _ in worlds]
        assert grids[0] == grids[1] and len(set(grids)) == 4
        places = [(*game.body.position, game.body.yaw) for game, _ in worlds]
        assert places[0] == places[1] and len(set(places)) == 4
        assert worlds[0][1].text() == worlds[1][1].text()


def test_episodes_are_chosen_and_checked():
    config = CraftConfig(inits=7)
    assert len(config.episodes()) == 7 * len(TASKS)
    assert [e.init for e in config.episodes([2], [6, 1])] == [6, 1]
    with pytest.raises(ValueError, match="0 to 3"):
        config.episodes([4])
    with pytest.raises(ValueError, match="0 to 6"):
        config.episodes([0], 8)
    for stranger in (Episode("craft", 4, 0), Episode("craft", -1, 0), Episode("toy_reach", 0, 0)):
        with pytest.raises(ValueError, match="craft has tasks 0 to 3"):
            config.make().begin(stranger)


def test_escape_ends_the_episode_without_success(env):
    for task in TASK:
        begin(env, task)
        outcome = env.advance(action_vector({"ESC": 1}))
        assert outcome.terminated and not outcome.success and not outcome.truncated


def test_horizons():
    env = CraftConfig(horizon=3).make()
    for task, success in (("explore", True), ("build", False)):
        begin(env, task)
        assert env.horizon == 3
        outcomes = [env.advance(NOTHING) for _ in range(3)]
        assert [o.terminated or o.truncated for o in outcomes] == [False, False, True]
        assert outcomes[-1].success == success == outcomes[-1].terminated == (not outcomes[-1].truncated)


def test_treechop_counts_logs_that_are_picked_up(env):
    game = begin(env, "treechop")
    rewards = []
    for item in ("log", "log", "dirt", "log", "log"):
        game.spill(ITEM[item], game.body.position, np.zeros(3), delay=0)
        outcome = env.advance(NOTHING)
        rewards.append(outcome.reward)
    assert rewards == [1, 1, 0, 1, 1] and outcome.success and outcome.terminated


def test_navigate_pays_for_getting_nearer_once(env):
    game = begin(env, "navigate")
    start = game.body.position.copy()
    far = value(env, "goal_distance")
    assert 22 < far < 41
    gained = []
    for share in (0.5, 0.0, 0.5, 0.9):
        game.body.position[:] = start + share * (env.task.goal - start)
        game.body.position[1] = 60  # falls, above all ground
        outcome = env.advance(NOTHING)
        gained.append(outcome.reward)
    assert gained == pytest.approx([far / 2, 0, 0, 0.4 * far], abs=1e-3) and not outcome.success
    game.body.position[:] = env.task.goal + np.array([1.2, 20.0, 1.2])
    assert env.advance(NOTHING).success


def test_the_goal_lies_where_the_state_says(env):
    game = begin(env, "navigate")
    east, _, south = env.task.goal - game.body.position
    game.body.yaw = float(np.degrees(np.arctan2(-east, south)))
    assert value(env, "goal_bearing") == pytest.approx(0, abs=1e-3)
    game.body.turn(0, -90)
    assert value(env, "goal_bearing") == pytest.approx(90, abs=1e-3)  # to the right
    x, y, z = np.floor(env.task.goal).astype(int)
    assert (game.grid[x, y : y + 7, z] == ID["yellow_wool"]).all()


def test_build_pays_for_every_cell_once(env):
    game = begin(env, "build")
    plan = env.task.plan
    colours = [kind for kind in game.inventory.kinds[:3] if kind != plan[0, 3]]
    assert (game.grid[tuple(plan[:, :3].T)] == 0).all() and len(plan) >= 3
    total = 0.0
    for number, (x, y, z, kind) in enumerate(plan):
        game.grid[x, y, z] = colours[0]
        assert env.advance(NOTHING).reward == 0
        game.grid[x, y, z] = kind
        outcome = env.advance(NOTHING)
        total += outcome.reward
        assert outcome.success == (number == len(plan) - 1)
        if number == 0:
            game.grid[x, y, z] = 0
            env.advance(NOTHING)
            game.grid[x, y, z] = kind
            total += env.advance(NOTHING).reward
    assert total == len(plan)


def test_state_shows_what_is_aimed_at_and_held(env):
    game = begin(env, "explore")
    press(game, "hotbar.5", pitch=90)
    press(game, "attack")
    x, y, z = np.floor(game.body.position).astype(int)
    assert [value(env, f"aimed_{axis}") for axis in "xyz"] == [x, y - 1, z]
    assert value(env, "aimed") == game.grid[x, y - 1, z] and value(env, "selected") == 4
    assert 0 < value(env, "digging") < 1 and value(env, "kind.5") == ITEM["cobblestone"]
    game.body.pitch = -90
    assert value(env, "aimed") == 0


def test_ground_truth(env):
    game = begin(env, "build")
    game.spill(ITEM["dirt"], np.array([60.0, 40.0, 60.0]), np.zeros(3), delay=10)
    truth = env.privileged()
    assert truth["grid"] is game.grid and truth["plan"].shape == (len(env.task.plan), 4)
    np.testing.assert_array_equal(truth["drops"], [[ITEM["dirt"], 60, 40, 60]])
    assert np.isfinite(truth["goal"]).all()


# ------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("size", [(64, 64), (224, 384)])
def test_the_selected_slot_is_framed(size):
    pictures = []
    for slot in (1, 2):
        game = flat_game()
        press(game, f"hotbar.{slot}")
        pictures.append(draw_view(game, size))
    rows, columns = np.nonzero((pictures[0] != pictures[1]).any(-1))
    assert len(rows) and rows.min() > 0.85 * size[0] and columns.max() < size[1] / 2
    assert (pictures[0][rows, columns].max(-1) > 240).any()


def test_the_display_can_be_left_out():
    game = flat_game("dirt")
    bare = draw_view(game, (64, 64), hud=False)
    plain = render(game.grid, game.body.eye, 0, 0, (64, 64))
    np.testing.assert_array_equal(bare, plain)
    full = draw_view(game, (64, 64))
    changed = (full != plain).any(-1)
    assert changed[32, 32] and changed[60, 10:54].all() and changed[45:, 50:].any()  # cross, slots, hand
    assert not changed[:25].any()
    press(game, "inventory")
    assert draw_view(game, (64, 64))[:20].mean() < 0.5 * full[:20].mean()


def test_cracks_darken_more_and_more_of_the_block():
    game, dark = flat_game(blocks=[(AHEAD, "log")]), []
    plain = draw_view(game, (96, 96), hud=False)
    for _ in range(5):
        press(game, "attack", ticks=11)
        changed = (draw_view(game, (96, 96), hud=False) != plain).any(-1)
        dark.append(changed.sum())
    assert 0 < dark[0] < dark[1] < dark[2] < dark[3] < dark[4]


def test_blocks_hide_what_lies_behind_them():
    game = flat_game()
    plain = draw_view(game, (64, 64), hud=False)
    game.spill(ITEM["red_wool"], np.array([12.5, 4.6, 15.5]), np.zeros(3), delay=10)
    seen = draw_view(game, (64, 64), hud=False)
    assert (seen != plain).any() and seen[..., 0][(seen != plain).any(-1)].mean() > 80
    game.grid[12, 4:6, 14] = ID["stone"]
    wall = draw_view(game, (64, 64), hud=False)
    game.drops.clear()
    np.testing.assert_array_equal(wall, draw_view(game, (64, 64), hud=False))


def boxes():
    """Lying items and cracks, in front of the eye, partly hidden, and around it."""
    for cell, pitch in (((12, 4, 15), 20), ((13, 4, 13), 40), ((12, 5, 14), 0)):
        low = np.array(cell, np.float64)
        yield np.concatenate([low - 0.004, low + 1.004]), cracks(STAGES - 2), True, pitch
    for place, item in (((12.4, 4.0, 14.2), "dirt"), ((12.9, 4.3, 15.9), "iron_axe")):
        yield Drop(ITEM[item], np.array(place), np.zeros(3)).box, item_texture(ITEM[item]), False, 30


def test_boxes_look_the_same_compiled_and_not():
    game = flat_game(blocks=[((13, 4, 15), "stone")])
    eye, size, painted = game.body.eye, (48, 64), 0
    for box, texture, cracked, pitch in boxes():
        plane = view_plane(size, pitch, 10)
        span = span_of(box, eye, plane, size)
        plain = render(game.grid, eye, pitch, 10, size)
        pictures = [plain.copy(), plain.copy()]
        for paint, picture in zip((draw_box, draw_box.py_func), pictures, strict=True):
            paint(game.grid, texture, cracked, box, eye, *plane, 0.8, span, picture)
        np.testing.assert_array_equal(*pictures)
        painted += (pictures[0] != plain).any()
    assert painted == 5


def test_boxes_behind_the_eye_are_not_drawn():
    plane = view_plane((48, 64), 0, 0)
    eye = np.array([12.5, 5.6, 12.5])
    assert span_of(np.array([12, 5, 8, 13, 6, 9.0]), eye, plane, (48, 64)) is None
    assert span_of(np.array([30, 5, 13, 31, 6, 14.0]), eye, plane, (48, 64)) is None
