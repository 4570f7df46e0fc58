"""What there is to do in the voxel world: free play, chopping trees, finding a tower, building a plan."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from playloop.envs.craft.blocks import ID
from playloop.envs.craft.body import Body
from playloop.envs.craft.game import Game
from playloop.envs.craft.inventory import Inventory
from playloop.envs.craft.items import ITEM
from playloop.envs.craft.terrain import SEA, generate
from playloop.envs.outcome import Outcome

GROUND = (ID["grass"], ID["sand"])
AIR = ID["air"]


@dataclass
class CraftTask(ABC):
    """A goal in a world; an instance lives as long as an episode.

    Args:
        limit: most ticks of the episode; 0 for the task's own horizon.
        goal: where to go, float64 [3]; not a number where there is none.
        plan: cells to fill, int64 [n, 4] (x, y, z, kind).
    """

    name: ClassVar[str]
    instruction: ClassVar[str]
    horizon: ClassVar[int]

    limit: int = 0
    goal: np.ndarray = field(default_factory=lambda: np.full(3, np.nan))
    plan: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.int64))

    def __post_init__(self) -> None:
        self.limit = self.limit or self.horizon

    def text(self) -> str:
        """The instruction of this episode."""
        return self.instruction

    def prepare(self, game: Game, rng: np.random.Generator) -> None:  # noqa: B027 (nothing to do is fine)
        """Change the world and fill the pockets before the first tick."""

    @abstractmethod
    def judge(self, game: Game) -> Outcome:
        """Reward and success of the tick that has just passed."""


@dataclass
class Explore(CraftTask):
    """Free play with full pockets; whoever reaches the end has succeeded."""

    name = "explore"
    instruction = "do as you like"
    horizon = 1000

    def prepare(self, game: Game, rng: np.random.Generator) -> None:
        blocks = ("planks", "cobblestone", "red_wool", "blue_wool", "yellow_wool", "dirt")
        for item in ("iron_pickaxe", "iron_axe", "iron_shovel", *blocks):
            game.inventory.add(ITEM[item], 1 if "iron" in item else 64)

    def judge(self, game: Game) -> Outcome:
        return Outcome(success=game.ticks >= self.limit)


@dataclass
class Treechop(CraftTask):
    """Four logs, with bare hands; a point for each that is picked up."""

    name = "treechop"
    instruction = "chop trees and collect four logs"
    horizon = 1500
    logs: int = 0

    def judge(self, game: Game) -> Outcome:
        found = game.picked_up.count(ID["log"])
        self.logs += found
        return Outcome(float(found), self.logs >= 4)


@dataclass
class Navigate(CraftTask):
    """A tower of yellow wool, 24 to 40 blocks away; a point for each block nearer than ever before."""

    name = "navigate"
    instruction = "go to the yellow tower"
    horizon = 800
    nearest: float = 0.0

    def prepare(self, game: Game, rng: np.random.Generator) -> None:
        x, ground, z = self._choose(game, rng)
        game.grid[x, ground + 1 : ground + 8, z] = ID["yellow_wool"]
        self.goal = np.array([x + 0.5, ground + 1.0, z + 0.5])
        self.nearest = self._distance(game)

    def _choose(self, game: Game, rng: np.random.Generator) -> tuple[int, int, int]:
        start = game.body.position[[0, 2]]
        for _ in range(1000):
            angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(24, 40)
            x, z = (int(v) for v in start + reach * np.array([np.cos(angle), np.sin(angle)]))
            ground = surface(game.grid, x, z)
            if ground is not None and game.grid[x, ground, z] in GROUND:
                return x, ground, z
        raise RuntimeError("this world has no dry place for a tower; use another seed")

    def _distance(self, game: Game) -> float:
        return float(np.hypot(*(self.goal - game.body.position)[[0, 2]]))

    def judge(self, game: Game) -> Outcome:
        distance = self._distance(game)
        gained = max(0.0, self.nearest - distance)
        self.nearest -= gained
        return Outcome(gained, distance <= 2.0)


SHAPES = {
    "pillar": [(0, y) for y in range(3)],
    "wall": [(x, y) for y in range(2) for x in range(3)],
    "gate": [(0, 0), (0, 1), (2, 0), (2, 1), (0, 2), (1, 2), (2, 2)],
    "stairs": [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)],
}
"""Plans as cells (along, up) over a row of marked ground."""
COLORS = ("red", "blue", "yellow")


@dataclass
class Build(CraftTask):
    """A small plan in wool over marked ground; a point for each cell more than ever before."""

    name = "build"
    instruction = "build from the plan on the planks"
    horizon = 1200
    shape: str = ""
    color: str = ""
    most: int = 0

    def text(self) -> str:
        return f"build a {self.color} {self.shape} on the planks"

    def prepare(self, game: Game, rng: np.random.Generator) -> None:
        self.shape, self.color = str(rng.choice(list(SHAPES))), str(rng.choice(COLORS))
        x, y, z = (int(v) for v in np.floor(game.body.position))
        game.grid[x - 5 : x + 6, y - 1, z - 5 : z + 6] = ID["grass"]
        game.grid[x - 5 : x + 6, y : y + 7, z - 5 : z + 6] = AIR
        kind, away = ID[f"{self.color}_wool"], 3
        turn = int(rng.integers(4))
        ahead, along = ((0, 1), (1, 0)) if turn % 2 == 0 else ((1, 0), (0, 1))
        sign = 1 if turn < 2 else -1
        cells = []
        for u, up in SHAPES[self.shape]:
            cell_x = x + sign * away * ahead[0] + (u - 1) * along[0]
            cell_z = z + sign * away * ahead[1] + (u - 1) * along[1]
            game.grid[cell_x, y - 1, cell_z] = ID["planks"]
            cells.append((cell_x, y + up, cell_z, kind))
        self.plan = np.array(cells, np.int64)
        self.goal = self.plan[:, :3].mean(0) + 0.5
        for color in COLORS:
            game.inventory.add(ITEM[f"{color}_wool"], 32)
        game.inventory.add(ITEM["iron_pickaxe"])

    def judge(self, game: Game) -> Outcome:
        x, y, z, kind = self.plan.T
        filled = int((game.grid[x, y, z] == kind).sum())
        gained = max(0, filled - self.most)
        self.most += gained
        return Outcome(float(gained), filled == len(self.plan))


TASKS: tuple[type[CraftTask], ...] = (Explore, Treechop, Navigate, Build)
"""By number."""


def surface(grid: np.ndarray, x: int, z: int) -> int | None:
    """The y of the highest block of a column that is neither air nor part of a tree; None outside."""
    if not (6 <= x < grid.shape[0] - 6 and 6 <= z < grid.shape[2] - 6):
        return None
    column = grid[x, :, z]
    return int(np.flatnonzero((column != AIR) & (column != ID["leaves"]) & (column != ID["log"]))[-1])


def new_game(seed: int, rng: np.random.Generator) -> Game:
    """A player with empty pockets on dry ground in the world of a seed, looking anywhere."""
    grid = generate(seed)
    x, y, z = _dry_cell(grid, rng)
    body = Body(np.array([x + 0.5, y + 1.0, z + 0.5]), yaw=float(rng.uniform(-180, 180)), on_ground=True)
    return Game(grid, body, rng, Inventory())


def _dry_cell(grid: np.ndarray, rng: np.random.Generator) -> tuple[int, int, int]:
    for _ in range(1000):
        x, z = (int(v) for v in rng.integers(32, 96, 2))
        y = surface(grid, x, z)
        free = y is not None and not grid[x - 1 : x + 2, y + 1 : y + 4, z - 1 : z + 2].any()
        if y is not None and free and y > SEA and grid[x, y, z] in GROUND:
            return x, y, z
    raise RuntimeError("this world has no dry place; use another seed")
