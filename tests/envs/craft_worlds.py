"""A flat world with a player in it, and keys by name: what the tests of the voxel world share."""

import numpy as np

from playloop.core.minecraft import action_vector
from playloop.envs.craft.blocks import ID
from playloop.envs.craft.body import Body
from playloop.envs.craft.game import Game
from playloop.envs.craft.items import ITEM

FLOOR = 4
"""Height on which the player stands, at (12.5, 12.5), looking south; the eye is in row 5."""
AHEAD = (12, 5, 14)
"""The cell that the player looks at; the one before it is at arm's length."""


def flat_game(*items, blocks=()):
    """A game on a stone floor; `items` are names, or (name, count); `blocks` are (cell, name)."""
    grid = np.zeros((24, 16, 24), np.uint8)
    grid[:, :FLOOR] = ID["stone"]
    for cell, name in blocks:
        grid[cell] = ID[name]
    game = Game(grid, Body(np.array([12.5, FLOOR, 12.5]), on_ground=True), np.random.default_rng(0))
    for item in items:
        name, count = item if isinstance(item, tuple) else (item, 1)
        game.inventory.add(ITEM[name], count)
    return game


def press(game, *keys, ticks=1, pitch=0.0, yaw=0.0):
    """Hold keys for some ticks, turning in the first one."""
    for tick in range(ticks):
        turn = [pitch, yaw] if tick == 0 else [0.0, 0.0]
        game.tick(action_vector({**dict.fromkeys(keys, 1), "camera": turn}))


def ticks_until(game, happened, *keys, limit=400):
    """How many ticks keys are held until something has happened."""
    for tick in range(1, limit + 1):
        press(game, *keys)
        if happened():
            return tick
    raise AssertionError(f"nothing happened in {limit} ticks of {keys}")
