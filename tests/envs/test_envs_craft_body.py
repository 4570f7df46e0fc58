import numpy as np
import pytest

from playloop.envs.craft.blocks import ID
from playloop.envs.craft.body import Body
from playloop.envs.craft.exact import heading

AHEAD = ("forward",)


def flat(height=4):
    grid = np.zeros((40, 24, 40), np.uint8)
    grid[:, :height] = ID["stone"]
    return grid


def stand(grid, x=20.5, z=5.5, y=4.0):
    body = Body(np.array([x, y, z]))
    for _ in range(3):
        body.tick(grid, ())
    return body


def run(body, grid, keys, ticks):
    places = []
    for _ in range(ticks):
        body.tick(grid, keys)
        places.append(body.position.copy())
    return np.array(places)


@pytest.mark.parametrize(
    ("keys", "speed"),
    [
        (AHEAD, 4.317),
        (("forward", "sprint"), 5.612),
        (("forward", "sneak"), 1.295),
        (("forward", "right"), 4.317),
    ],
)
def test_published_speeds(keys, speed):
    grid = flat()
    way = run(stand(grid), grid, keys, 60)
    assert np.linalg.norm(way[-1] - way[-21]) == pytest.approx(speed, rel=2e-3)


def test_a_jump_rises_a_block_and_a_quarter_and_lands():
    grid = flat()
    body = stand(grid)
    body.tick(grid, ("jump",))
    height = run(body, grid, (), 20)[:, 1]
    assert height.max() == pytest.approx(5.2522, abs=1e-3)
    assert height[-1] == 4.0 and body.on_ground


def test_a_jump_climbs_a_block_but_not_two():
    for wall, reached in ((5, True), (6, False)):
        grid = flat()
        grid[:, 4:wall, 8:] = ID["stone"]
        body = stand(grid)
        run(body, grid, ("forward", "jump"), 60)
        assert (body.position[2] > 8) == reached


def test_walls_stop_at_the_skin():
    grid = flat()
    grid[:, :, 9:] = ID["stone"]
    body = stand(grid)
    way = run(body, grid, AHEAD, 40)
    assert way[-1, 2] == pytest.approx(9 - 0.3, abs=1e-6)
    assert body.velocity[2] == 0.0


def test_sneaking_never_falls_off():
    grid = flat()
    grid[:, :, 9:] = ID["air"]
    body = stand(grid)
    assert run(body, grid, ("forward", "sneak"), 100)[-1, 1] == 4.0
    assert run(body, grid, AHEAD, 30)[-1, 1] < 4.0


def test_a_fall_ends_on_the_ground_however_fast():
    grid = flat(1)
    body = Body(np.array([20.5, 22.0, 20.5]))
    heights = run(body, grid, (), 60)[:, 1]
    assert (heights >= 1.0).all() and heights[-1] == 1.0


def test_water_carries():
    grid = flat()
    grid[:, 4:12] = ID["water"]
    body = Body(np.array([20.5, 8.0, 20.5]))
    sunk = run(body, grid, (), 20)[-1, 1]
    assert 5.0 < sunk < 8.0
    assert run(body, grid, ("jump",), 60)[-1, 1] > 10.5


def test_the_world_ends_in_a_wall():
    grid = flat()
    body = stand(grid)
    body.turn(0, 180)
    assert run(body, grid, AHEAD, 60)[-1, 2] == pytest.approx(0.3, abs=1e-6)


def test_views_stop_at_the_poles_and_go_round():
    body = Body(np.zeros(3))
    body.turn(120, 270)
    assert (body.pitch, body.yaw) == (90.0, -90.0)
    assert heading(-90.0) == (-1.0, 0.0)
