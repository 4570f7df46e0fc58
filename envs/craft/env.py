"""The voxel world as an environment: MineRL's actions, a picture from the player's eyes, four tasks."""

from __future__ import annotations

from typing import Any

import numpy as np

from playloop.core.annotations import Count
from playloop.core.checked import checked
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.kinds import kind
from playloop.core.minecraft import action_space, index_of, minerl_contract
from playloop.envs.base import PlayEnv
from playloop.envs.config import EnvConfig
from playloop.envs.craft.game import Game
from playloop.envs.craft.inventory import HOTBAR
from playloop.envs.craft.render import draw_view
from playloop.envs.craft.tasks import TASKS, CraftTask, new_game
from playloop.envs.outcome import Outcome

SUITE = "craft"
STATE_NAMES = (
    *("x", "y", "z", "vx", "vy", "vz", "pitch", "yaw", "on_ground", "sneaking", "selected"),
    *(f"kind.{slot}" for slot in range(1, 10)),
    *(f"count.{slot}" for slot in range(1, 10)),
    *("aimed", "aimed_x", "aimed_y", "aimed_z", "digging", "goal_bearing", "goal_distance"),
)
"""Blocks, blocks a tick, degrees; item numbers and counts of the hotbar; the block aimed at (0: none) and how
far it is broken; the goal's bearing from the line of sight in degrees and its distance (0 without a goal)."""


@kind("craft")
@checked(frozen=True)
class CraftConfig(EnvConfig):
    """Settings of `Craft`.

    Args:
        size: height and width of the picture, such as [64,64], [128,128], [224,384] or [360,640].
        inits: stored worlds a task.
        horizon: most actions an episode; None for the task's own.
        daylight: the light follows the time of day.
        hud: draw crosshair, hotbar and hand.
    """

    size: tuple[Count, Count] = (64, 64)
    inits: Count = 50
    horizon: Count | None = None
    daylight: bool = False
    hud: bool = True

    suite = SUITE

    def make(self) -> Craft:
        return Craft(self)

    def title(self) -> str:
        return "voxel world"

    def contract(self) -> Contract:
        height, width = self.size
        if not (32 <= height <= 2160 and 56 <= width <= 3840):
            raise ValueError(
                f"size={list(self.size)} is (height, width): from 32 x 56 to 2160 x 3840 pixels."
            )
        changed = self.departures("daylight")
        changed += [] if self.hud else ["no display"]
        changed += self.departures("horizon")
        return minerl_contract(
            self.size,
            family="craft",
            action="minerl-1.0",
            state_names=STATE_NAMES,
            success="craft-tasks",
            protocol=", ".join(changed) or "standard",
            restorable=False,
        )

    def task_names(self) -> list[str]:
        return [task.name for task in TASKS]


class Craft(PlayEnv):
    """One player in one world. Deterministic to the last bit; nothing is drawn until somebody looks."""

    def __init__(self, config: CraftConfig | None = None, render_mode: str | None = None):
        self.config = config or CraftConfig()
        longest = max(task.horizon for task in TASKS)
        super().__init__(self.config.contract(), self.config.horizon or longest, render_mode, action_space())
        self.game: Game
        self.task: CraftTask

    def begin(self, episode: Episode) -> None:
        world = episode.unseeded()
        self.episode = episode
        self.task = TASKS[self.config.task_of(episode)](self.config.horizon or 0)
        self.game = new_game(world.derive("world"), world.rng("start"))
        self.task.prepare(self.game, world.rng("task"))
        self.horizon = self.task.limit

    def advance(self, action: np.ndarray) -> Outcome:
        action = np.asarray(action, np.float32)
        self.game.tick(action)
        outcome = self.task.judge(self.game)
        outcome.terminated = outcome.success or bool(action[index_of("ESC")] > 0.5)
        outcome.truncated = self.game.ticks >= self.horizon and not outcome.terminated
        return outcome

    def observe(self, images: bool = True) -> dict[str, Any]:
        observation: dict[str, Any] = {"state": self._state(), "instruction": self.task.text()}
        if images:
            size, config = self.contract.cameras["pov"], self.config
            observation["images"] = {"pov": draw_view(self.game, size, config.daylight, config.hud)}
        return observation

    def privileged(self) -> dict[str, np.ndarray]:
        """The blocks around the player and the plan, for experts.

        Keys: "grid" uint8 [X, Y, Z] (the whole world, not a copy), "plan" int64 [n, 4], "goal" float64 [3],
        "drops" float64 [n, 4] (item, x, y, z).
        """
        drops = [(drop.item, *drop.position) for drop in self.game.drops]
        return {
            "grid": self.game.grid,
            "plan": self.task.plan,
            "goal": self.task.goal,
            "drops": np.array(drops, np.float64).reshape(-1, 4),
        }

    def _state(self) -> np.ndarray:
        game, body, inventory = self.game, self.game.body, self.game.inventory
        aimed = game.aimed
        cell = aimed.cell if aimed else (0, 0, 0)
        digging = game.digging.progress if game.digging else 0.0
        return np.array(
            [
                *body.position,
                *body.velocity,
                *(body.pitch, body.yaw, body.on_ground, body.sneaking, inventory.selected),
                *inventory.kinds[:HOTBAR],
                *inventory.counts[:HOTBAR],
                *(aimed.kind if aimed else 0, *cell, digging),
                *self._goal(),
            ],
            np.float32,
        )

    def _goal(self) -> tuple[float, float]:
        if np.isnan(self.task.goal).any():
            return 0.0, 0.0
        east, _, south = self.task.goal - self.game.body.position
        bearing = np.degrees(np.arctan2(-east, south)) - self.game.body.yaw
        return float((bearing + 180) % 360 - 180), float(np.hypot(east, south))
