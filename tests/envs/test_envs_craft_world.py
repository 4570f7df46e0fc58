import hashlib

import numpy as np
import pytest
from rays_numpy import draw_numpy

from playloop.envs.craft.blocks import BLOCKS, ID
from playloop.envs.craft.rays import draw
from playloop.envs.craft.render import render, view_plane
from playloop.envs.craft.terrain import SEA, SHAPE, generate, height_map
from playloop.envs.craft.textures import atlas

EYE = np.array([64.3, 34.0, 60.8])


@pytest.fixture(scope="module")
def world():
    return generate(7)


def test_a_seed_is_a_world_on_every_machine(world):
    digest = hashlib.sha256(world.tobytes()).hexdigest()[:16]
    assert digest == "1535c2f7b72c3c52"
    assert not np.array_equal(world, generate(8))


def test_worlds_have_land_water_and_trees():
    for seed in range(5):
        grid, height = generate(seed), height_map(seed)
        assert (height > SEA).mean() > 0.1 and height.max() < SHAPE[1] - 12
        assert (grid == ID["log"]).sum() > 100 and (grid == ID["coal_ore"]).sum() > 100
        assert (grid[:, 0] == ID["bedrock"]).all()


def test_textures_differ():
    pictures = {texture.tobytes() for texture in atlas()[1:, 1]}
    assert len(pictures) == len(BLOCKS) - 1


def test_names_of_blocks_are_unique():
    assert len(ID) == len(BLOCKS)


@pytest.mark.parametrize(("pitch", "yaw"), [(0, 0), (25, 133.3), (-40, 271), (90, 45), (60, -20)])
def test_the_renderer_draws_the_pixels_of_the_reference(world, pitch, yaw):
    for eye in (EYE, np.array([20.5, 24.2, 90.1]), np.array([-3.0, 40.0, 10.0])):
        pictures = [np.empty((48, 64, 3), np.uint8) for _ in range(2)]
        for paint, picture in zip((draw, draw_numpy), pictures, strict=True):
            paint(world, atlas(), eye, *view_plane((48, 64), pitch, yaw), 0.9, picture)
        np.testing.assert_array_equal(*pictures)


@pytest.mark.parametrize(("yaw", "where"), [(0, (0, 2)), (90, (-2, 0)), (180, (0, -2)), (270, (2, 0))])
def test_yaw_turns_clockwise_from_south(yaw, where):
    grid = np.zeros((9, 9, 9), np.uint8)
    grid[4 + where[0], 4, 4 + where[1]] = ID["red_wool"]
    picture = render(grid, np.array([4.5, 4.5, 4.5]), 0, yaw, (33, 33)).astype(int)
    assert picture[16, 16, 0] > picture[16, 16, 2] + 50
    assert picture[2, 2, 2] > picture[2, 2, 0]


def test_pitch_looks_down_and_right_is_right():
    grid = np.zeros((9, 9, 9), np.uint8)
    grid[4, 2, 4], grid[2, 4, 6] = ID["red_wool"], ID["blue_wool"]
    below = render(grid, np.array([4.5, 4.5, 4.5]), 90, 0, (33, 33)).astype(int)
    assert below[16, 16, 0] > below[16, 16, 2] + 40
    south = render(grid, np.array([4.5, 4.5, 4.5]), 0, 0, (33, 33)).astype(int)  # west is right of south
    assert south[16, 30, 2] > south[16, 30, 0] + 50 and south[16, 3, 2] - south[16, 3, 0] < 80


def test_night_is_darker(world):
    day, night = (render(world, EYE, 10, 0, (24, 24), light).mean() for light in (1.0, 0.3))
    assert night < 0.5 * day
