"""LIBERO: 130 manipulation tasks in five suites, and the LIBERO-PRO variants that the package carries."""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from playloop.core.annotations import Count, Known, Natural
from playloop.core.checked import checked
from playloop.core.contract import Contract
from playloop.core.conventions import Convention
from playloop.core.episode import FRESH, Episode, choose_episodes
from playloop.core.kinds import kind
from playloop.core.robots import PANDA_SIDE, arm_contract
from playloop.envs.arm import ArmEnv, headless_panda, remembering
from playloop.envs.config import EnvConfig
from playloop.envs.upstream import load_libero, load_robosuite

SETTLE_STEPS = 10
"""Steps of no motion before an episode counts: objects are stored a little above their support."""
SETTLE_ACTION = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0)
HORIZONS = {
    "libero_spatial": 220,
    "libero_object": 280,
    "libero_goal": 300,
    "libero_10": 520,
    "libero_90": 400,
}
"""Most actions an episode may take, as OpenVLA, OpenVLA-OFT and openpi judge."""
PROTOCOLS = {"standard": HORIZONS, "lerobot": HORIZONS | {"libero_spatial": 280}}
"""Published ways to judge: name → limits. LeRobot's flatters a policy in libero_spatial."""
ARM_NOISE = 0.02
"""Standard deviation of each joint, radians, in the stored states of libero_object and libero_spatial."""


@dataclass(frozen=True)
class LiberoTask:
    """One task: its name, its instruction, its scene and its stored initial states."""

    name: str
    instruction: str
    scene: Path
    states: Path


SUITES = ("libero_spatial", "libero_object", "libero_goal", "libero_10", "libero_90")
"""The standard suites; those of LIBERO-PRO have longer names."""


@kind("libero")
@checked
class LiberoConfig(EnvConfig):
    """A LIBERO suite.

    Args:
        suite: "libero_spatial", "libero_object", "libero_goal", "libero_10", "libero_90", or a PRO variant.
        size: pixels of both cameras' sides; the standard is 256.
        horizon: most actions; None is the protocol's limit for the suite.
        settle_steps: steps of no motion before the episode counts; the standard is 10.
        success_steps: for how many steps running the goal must hold. The standard is 1: an object that passes
            through the basket in the gripper counts. Demonstrations want it at rest and take 10.
        protocol: whose limits apply, "standard" or "lerobot"; written into every result.
    """

    suite: Annotated[str, Known(SUITES)] = "libero_object"
    size: Count = PANDA_SIDE
    horizon: Count | None = None
    settle_steps: Natural = SETTLE_STEPS
    success_steps: Count = 1
    protocol: Literal["standard", "lerobot"] = "standard"

    def make(self) -> LiberoEnv:
        return LiberoEnv(self)

    def tasks(self) -> list[LiberoTask]:
        """The suite's tasks in the benchmark's order."""
        return list(suite_tasks(self.suite))

    def task_names(self) -> list[str]:
        return [task.instruction for task in self.tasks()]

    def limit(self) -> int:
        """Most actions in an episode."""
        limits = PROTOCOLS[self.protocol]
        base = next((suite for suite in limits if self.suite.startswith(suite)), "libero_90")
        return self.horizon or limits[base]

    def deviations(self) -> str:
        """The protocol's name, and what departs from it."""
        named = self.departures("size", "settle_steps", "success_steps")
        if self.limit() != LiberoConfig(self.suite, protocol=self.protocol).limit():
            named.append(f"horizon={self.limit()}")
        return ", ".join([self.protocol, *named])

    def title(self) -> str:
        return "LIBERO"

    def contract(self) -> Contract:
        held = Convention("goal-held", {"steps": self.success_steps})
        return arm_contract("libero", self.size, held, self.deviations())

    def unique_names(self) -> list[str]:
        """A name of every task that no other has: its file's, with the scene. Instructions may be shared."""
        return [task.name for task in self.tasks()]

    def episodes(
        self, tasks: list[int] | None = None, inits: list[int] | int | None = None, seed: int = 0
    ) -> list[Episode]:
        """Task by task, the stored initial states: all, the first `inits`, or the ones listed.

        Raises:
            ValueError: a task has none, or not those.
        """
        known = range(len(self.tasks()))
        chosen = known if tasks is None else tasks
        if empty := [str(task) for task in chosen if not count_states(self.task(task))]:
            others = [str(task) for task in known if count_states(self.task(task))]
            fix = f"leave them out: tasks=[{','.join(others)}]" if others else "choose another suite"
            raise ValueError(f"{self.suite} has no stored initial states of task {', '.join(empty)}; {fix}")
        return choose_episodes(
            self.suite, (len(known), lambda task: count_states(self.task(task))), tasks, inits, seed
        )

    def task(self, index: int) -> LiberoTask:
        """A task by its number."""
        tasks = self.tasks()
        if not 0 <= index < len(tasks):
            raise ValueError(f"{self.suite} has tasks 0 to {len(tasks) - 1}, not {index}")
        return tasks[index]


class LiberoEnv(ArmEnv):
    """LIBERO under the one contract; see `ArmEnv` for what is and is not changed.

    Example:
        >>> env = LiberoConfig("libero_object").make()                      # doctest: +SKIP
        >>> observation, info = env.reset(seed=0)                           # doctest: +SKIP
        >>> observation["images"]["agentview"].shape                        # doctest: +SKIP
        (256, 256, 3)
    """

    sensed_substep = 23

    def __init__(self, config: LiberoConfig | None = None, render_mode: str | None = None) -> None:
        self.config = config or LiberoConfig()
        self.config.tasks()  # a misspelt suite is answered here, not in the middle of a run
        super().__init__(self.config.contract(), self.config.limit(), render_mode)

    def episodes(self) -> list[Episode]:
        playable = [number for number, task in enumerate(self.config.tasks()) if count_states(task)]
        return self.config.episodes(playable)

    @property
    def goal_objects(self) -> list[str]:
        return list(self._simulation.obj_of_interest)

    def begin(self, episode: Episode) -> None:
        if episode.suite != self.config.suite:
            raise ValueError(f"the environment plays {self.config.suite}, not {episode.suite}; set env.suite")
        super().begin(episode)

    def _load(self, episode: Episode) -> Any:
        load_robosuite()
        load_libero()
        from libero.libero.envs import TASK_MAPPING
        from libero.libero.envs.bddl_utils import get_problem_info

        scene = str(self.config.task(episode.task).scene)
        problem = get_problem_info(scene)["problem_name"]
        with contextlib.redirect_stdout(io.StringIO()):
            return remembering(TASK_MAPPING[problem])(bddl_file_name=scene, **headless_panda())

    def _instruction(self, episode: Episode) -> str:
        return self.config.task(episode.task).instruction

    def _after_reset(self, episode: Episode) -> None:
        self._held = 0
        if episode.init == FRESH:
            self._shake_arm(episode)
        else:
            states = load_states(self.config.task(episode.task))
            if not 0 <= episode.init < len(states):
                raise ValueError(
                    f"{episode.suite} task {episode.task} has {len(states)} initial states, 0 to "
                    f"{len(states) - 1}, and no {episode.init}"
                )
            self._set_state(states[episode.init])
        for _ in range(self.config.settle_steps):
            self._substeps(np.asarray(SETTLE_ACTION))

    def _shake_arm(self, episode: Episode) -> None:
        """Start a fresh placement with the arm a little off its rest pose, as the stored states do."""
        simulation = self._simulation
        joints = simulation.robots[0]._ref_joint_pos_indexes
        simulation.sim.data.qpos[joints] += episode.rng("arm").normal(0.0, ARM_NOISE, len(joints))
        simulation.sim.forward()
        self._sense()

    def _succeeded(self) -> bool:
        self._held = self._held + 1 if super()._succeeded() else 0
        return self._held >= self.config.success_steps


@cache
def suite_tasks(suite: str) -> tuple[LiberoTask, ...]:
    """The tasks of a suite.

    Raises:
        ValueError: an unknown suite, with the nearest known one.
        ModuleNotFoundError: LIBERO is not installed, with the command that installs it.
    """
    own = load_libero().get_default_path_dict()
    from libero.libero.benchmark.libero_suite_task_map import libero_task_map

    if suite not in libero_task_map:
        near = difflib.get_close_matches(suite, libero_task_map, 1)
        raise ValueError(f"no LIBERO suite {suite!r}; did you mean {near[0] if near else 'libero_object'!r}?")
    scenes, states = (Path(os.path.abspath(own[kind])) / suite for kind in ("bddl_files", "init_states"))
    if not scenes.is_dir():
        raise ValueError(f"the installed LIBERO package lists {suite!r} but carries no scenes for it")
    return tuple(
        LiberoTask(name, _language(suite, scene), scene, states / f"{name}.pruned_init.npz")
        for name in libero_task_map[suite]
        for scene in [scenes / f"{name}.bddl"]
    )


@cache
def load_states(task: LiberoTask) -> np.ndarray:
    """The stored initial states of a task, float64 [N, 1 + nq + nv]."""
    if not task.states.is_file():
        raise FileNotFoundError(
            f"{task.name} has no stored initial states at {task.states}; choose another task or suite"
        )
    with np.load(task.states, allow_pickle=False) as archive:
        return archive["states"]


def count_states(task: LiberoTask) -> int:
    """How many initial states of a task are stored; some of the PRO variants carry none of some tasks."""
    return len(load_states(task)) if task.states.is_file() else 0


def _language(suite: str, scene: Path) -> str:
    """The file's name in words, as the five standard suites put it; the scene's own sentence elsewhere.

    LIBERO-PRO's language variants keep the file name and change the sentence inside.
    """
    if suite in HORIZONS:
        return re.sub(r"^[A-Z][A-Z_]*SCENE\d+_", "", scene.stem).replace("_", " ")
    found = re.search(r"\(:language\s+([^)]*)\)", scene.read_text())
    return found.group(1).strip() if found else scene.stem.replace("_", " ")
