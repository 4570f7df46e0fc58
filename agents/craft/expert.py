"""A scripted player of the voxel world: chops trees, walks to the tower, builds from the plan."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np

from playloop.agents.base import Plan
from playloop.agents.craft.build import build
from playloop.agents.craft.chop import chop
from playloop.agents.craft.paths import Cell
from playloop.agents.craft.player import Move, Player
from playloop.agents.craft.walk import FREE, Memory, Walker
from playloop.agents.explorer import ExplorerConfig, Mood
from playloop.agents.scripted import ScriptedExpert
from playloop.core.annotations import Count, Fraction
from playloop.core.checked import checked
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.kinds import kind
from playloop.core.minecraft import ACTION_NAMES, action_vector
from playloop.envs.craft.env import STATE_NAMES
from playloop.envs.craft.tasks import TASKS, Explore, Treechop

NEAR = 1.9
"""Blocks from the tower at which a way to it ends."""
NOISE = ("forward", "back", "left", "right", "jump", "sprint", "sneak")
"""Keys of a disturbance."""


@kind("craft-expert")
@checked
class CraftExpertConfig:
    """Settings of `CraftExpert`.

    Args:
        chunk: most actions a decision; fewer where the next depend on what the game does.
        disturbance: chance per decision that random keys and turns are injected for 4 to 12 ticks. They are
            marked (`expert` = 0 in the plan's info), not to be imitated; what follows shows how to recover.
    """

    chunk: Count = 4
    disturbance: Fraction = 0.0

    def make(self) -> CraftExpert:
        return CraftExpert(self)


class CraftExpert(ScriptedExpert):
    """Reads the whole world and plans a few ticks at a time, with the game's own physics.

    Where there is nothing to reach (task=explore), keys are pressed as by `Explorer`.
    """

    def __init__(self, config: CraftExpertConfig):
        if config.chunk > 8:
            raise ValueError(
                f"agent.chunk must be 1 to 8, got {config}; "
                "a block that breaks within a longer chunk would not be noticed"
            )
        super().__init__(config)
        self.explorer = ExplorerConfig().make()

    def prepare(self, contract: Contract) -> None:
        if contract.action_names != ACTION_NAMES or contract.state_names != STATE_NAMES:
            raise ValueError(
                "the expert of craft reads the game's own state, which this environment does not have; "
                "use env=craft"
            )

    def begin(self, episode: Episode) -> Memory | Mood:
        explores = TASKS[episode.task] is Explore
        return self.explorer.begin(episode) if explores else Memory()

    def decide(
        self, carry: Memory | Mood, observation: dict[str, Any], rng: np.random.Generator
    ) -> tuple[Memory | Mood, Plan]:
        if isinstance(carry, Mood):
            return self.explorer.decide(carry, observation, rng)
        memory = copy.copy(carry)
        if rng.random() < self.config.disturbance:
            memory.route, memory.turn = None, (0.0, 0.0)
            return memory, disturb(rng)
        player = Player.read(observation, memory.turn)
        actions: list[np.ndarray] = []
        task = task_of(observation)
        diggable = FREE if task != "build" else frozenset()
        walker = Walker(player, memory, rng, diggable, sprints=task == "navigate")
        while len(actions) < self.config.chunk:
            move = play(task, walker, observation["privileged"])
            actions.append(player.tick(move))
            if move.ends:
                break
        memory.turn = player.turn
        return memory, Plan(np.stack(actions), {"expert": 1})


def task_of(observation: dict[str, Any]) -> str:
    """The task that an observation belongs to.

    Raises:
        ValueError: none that the expert knows.
    """
    truth = observation.get("privileged", {})
    if len(truth.get("plan", ())):
        return "build"
    if np.isfinite(truth.get("goal", np.nan)).all():
        return "navigate"
    if observation["instruction"] == Treechop.instruction:
        return "treechop"
    raise ValueError(
        f"the expert of craft knows no way to {observation['instruction']!r}; "
        "use task=explore, treechop, navigate or build"
    )


def play(task: str, walker: Walker, truth: dict[str, np.ndarray]) -> Move:
    if task == "build":
        return build(walker, truth["plan"])
    if task == "navigate":
        return navigate(walker, truth["goal"])
    return chop(walker, truth["drops"])


def navigate(walker: Walker, goal: np.ndarray) -> Move:
    """A tick on the way to the tower at `goal` float64 [3]."""

    def left(cell: Cell) -> float:
        return math.hypot(cell[0] + 0.5 - goal[0], cell[2] + 0.5 - goal[2])

    if move := walker.come_free():
        return move
    move = walker.walk("tower", lambda cell: left(cell) <= NEAR, lambda cell: max(0.0, left(cell) - NEAR))
    return move or Move()


def disturb(rng: np.random.Generator) -> Plan:
    """Random keys and a turn, held for 4 to 12 ticks; not to be imitated."""
    keys = [name for name in NOISE if rng.random() < 0.3]
    turn = float(rng.normal(0.0, 1.5)), float(rng.normal(0.0, 4.0))
    action = action_vector({**dict.fromkeys(keys, 1), "camera": turn})
    return Plan(np.repeat(action[None], int(rng.integers(4, 13)), axis=0), {"expert": 0})
