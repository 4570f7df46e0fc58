"""robosuite's own single-arm tasks through the one contract."""

from __future__ import annotations

from typing import Any

from playloop.core.annotations import Count
from playloop.core.checked import checked
from playloop.core.contract import Contract
from playloop.core.conventions import Convention
from playloop.core.episode import Episode
from playloop.core.kinds import kind
from playloop.core.robots import arm_contract
from playloop.envs.arm import ArmEnv, headless_panda, remembering
from playloop.envs.config import EnvConfig
from playloop.envs.upstream import load_robosuite

SUITE = "robosuite"
TASKS = {
    "Lift": "lift the cube",
    "Stack": "stack the red cube on the green cube",
    "PickPlace": "put every object into its bin",
    "NutAssembly": "put both nuts on their pegs",
    "Door": "open the door",
}
"""Task → instruction. robosuite has no sentences of its own; these are ours."""
HORIZONS = {"Lift": 400, "Stack": 400, "PickPlace": 1000, "NutAssembly": 1000, "Door": 500}


@kind("robosuite")
@checked
class RobosuiteConfig(EnvConfig):
    """robosuite's tasks with a Panda arm, OSC_POSE and LIBERO's conventions.

    Sizes of objects, which robosuite draws whenever it builds a scene, are one draw a task here.

    Args:
        size: pixels of both cameras' sides.
        horizon: most actions; None is the task's own limit.
    """

    suite, inits, endless = SUITE, 50, True  # robosuite stores no placements: each is drawn from its number
    size: Count = 256
    horizon: Count | None = None

    def make(self) -> RobosuiteEnv:
        return RobosuiteEnv(self)

    def task_names(self) -> list[str]:
        return list(TASKS)

    def contract(self) -> Contract:
        held = Convention("goal-held", {"steps": 1})
        protocol = ", ".join(["standard", *self.departures("size", "horizon")])
        return arm_contract("robosuite", self.size, held, protocol)


class RobosuiteEnv(ArmEnv):
    """Lift, Stack, PickPlace, NutAssembly and Door under the one contract."""

    def __init__(self, config: RobosuiteConfig | None = None, render_mode: str | None = None) -> None:
        self.config = config or RobosuiteConfig()
        super().__init__(self.config.contract(), self.config.horizon or max(HORIZONS.values()), render_mode)

    def begin(self, episode: Episode) -> None:
        self._name = list(TASKS)[self.config.task_of(episode)]
        super().begin(episode)
        self.horizon = self.config.horizon or HORIZONS[self._name]

    @property
    def goal_objects(self) -> list[str]:
        return ["cubeA", "cubeB"] if type(self._simulation).__name__ == "Stack" else []

    def _load(self, episode: Episode) -> Any:
        load_robosuite()
        from robosuite.environments.base import REGISTERED_ENVS

        return remembering(REGISTERED_ENVS[self._name])(**headless_panda())

    def _instruction(self, episode: Episode) -> str:
        return TASKS[self._name]

    def _objects(self) -> dict[str, int]:
        model = self._simulation.sim.model
        return {
            thing.name: model.body_name2id(thing.root_body) for thing in self._simulation.model.mujoco_objects
        }
