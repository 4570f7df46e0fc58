"""MineRL 1.0, that is Minecraft itself, through the one contract."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from playloop.core.annotations import Count
from playloop.core.checked import checked
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.images import resize
from playloop.core.kinds import kind
from playloop.core.minecraft import BUTTONS, action_dictionary, action_space, index_of, minerl_contract
from playloop.envs.base import PlayEnv
from playloop.envs.config import EnvConfig
from playloop.envs.outcome import Outcome

SUITE = "minerl"
INSTALL = (
    "MineRL 1.0 is not installed. It needs Java 8 (apt-get install openjdk-8-jdk), downloads Minecraft while "
    "it is built, and pins an older NumPy than Playloop's, so: pip install --no-deps "
    "'git+https://github.com/minerllabs/minerl@v1.0.2' gym==0.23.1 gym_notices cloudpickle psutil lxml Pyro4 "
    "serpent coloredlogs humanfriendly dill daemoniker xmltodict inflection imagehash PyWavelets"
)
NOT_BEGUN = "no episode has begun; call begin or reset first"


class MineRLTask(NamedTuple):
    """One of MineRL's environments.

    Args:
        name: its Gym id.
        instruction: what the agent is to do; the sentence is ours.
        horizon: MineRL's own limit of actions; HumanSurvival has none and gets ours.
        goal: return from which on the episode is a success; None where people are to judge.
    """

    name: str
    instruction: str
    horizon: int
    goal: float | None = None


TASKS = (
    MineRLTask("MineRLBasaltFindCave-v0", "find a cave and press escape inside it", 3600),
    MineRLTask(
        "MineRLBasaltMakeWaterfall-v0", "make a beautiful waterfall, look at it and press escape", 6000
    ),
    MineRLTask(
        "MineRLBasaltCreateVillageAnimalPen-v0",
        "pen two animals of a kind next to a house of the village",
        6000,
    ),
    MineRLTask(
        "MineRLBasaltBuildVillageHouse-v0", "build a house in the style of the village and show it", 14400
    ),
    # the shovel alone is worth more than all that comes before it
    MineRLTask("MineRLObtainDiamondShovel-v0", "obtain a diamond shovel", 18000, 2048.0),
    MineRLTask("MineRLHumanSurvival-v0", "survive", 6000),
)


@kind("minerl")
@checked
class MineRLConfig(EnvConfig):
    """MineRL's environments with their own actions.

    Args:
        height: pixels of the image that an agent sees; MineRL's own are 360.
        width: pixels of the image that an agent sees; MineRL's own are 640.
        horizon: most actions; None is the task's own limit.
        factory: dotted name of a function that takes a Gym id and returns an environment with MineRL's
            `seed`, `reset`, `step` and dictionary of actions: for forks and patched builds.
    """

    suite, inits, endless = SUITE, 20, True  # worlds in the default protocol; each is drawn from its number
    height: Count = 360
    width: Count = 640
    horizon: Count | None = None
    factory: str = "playloop.envs.minerl.make_minerl"

    def make(self) -> MineRLEnv:
        """The environment; the game starts when an episode begins.

        Raises:
            ModuleNotFoundError: MineRL is not installed; with how to install it.
            ValueError: what is installed has other actions than MineRL 1.0.
        """
        return MineRLEnv(self)

    def task_names(self) -> list[str]:
        return [task.name for task in TASKS]

    def contract(self) -> Contract:
        size = self.height, self.width
        return minerl_contract(
            size,
            resized="" if size == (360, 640) else "recording",
            success="minerl-tasks",
            deterministic=False,
            protocol=", ".join(["standard", *self.departures("horizon", "factory")]),
        )


class MineRLEnv(PlayEnv):
    """Minecraft in lockstep with its agent. A world follows from its seed; what lives in it does not."""

    def __init__(self, config: MineRLConfig | None = None, render_mode: str | None = None):
        self.config = config or MineRLConfig()
        longest = max(task.horizon for task in TASKS)
        super().__init__(self.config.contract(), self.config.horizon or longest, render_mode, action_space())
        # Made here for what may be wrong with it; Minecraft itself starts when an episode begins.
        self._game: Any = self._load(TASKS[0])
        self._loaded: MineRLTask | None = TASKS[0]
        self._pov: np.ndarray | None = None

    def begin(self, episode: Episode) -> None:
        task = TASKS[self.config.task_of(episode)]
        if self._loaded != task:
            self.close()
            self._game, self._loaded = self._load(task), task
        self.horizon = self.config.horizon or task.horizon
        # Above 0, which MineRL has taken for no seed, and within Java's int. The spaces stay unseeded: with a
        # newer NumPy, Gym cannot copy them afterwards, which it does when the same task is made again.
        self._game.unwrapped.seed(1 + episode.unseeded().derive("world") % (2**31 - 1), seed_spaces=False)
        self._pov = np.asarray(self._game.reset()["pov"], np.uint8)
        restart_counters(self._game)
        self._steps, self._return = 0, 0.0

    def advance(self, action: np.ndarray) -> Outcome:
        if self._pov is None or self._loaded is None:
            raise RuntimeError(NOT_BEGUN)
        seen, reward, done, info = self._game.step(game_action(action, self._game.action_space))
        if "error" in info:  # MineRL goes on with a random observation
            raise RuntimeError(f"MineRL lost its game: {info['error']}")
        self._pov = np.asarray(seen["pov"], np.uint8)
        self._steps += 1
        self._return += float(reward)
        goal = self._loaded.goal
        success = goal is not None and self._return >= goal
        escaped = action[index_of("ESC")] > 0.5
        # MineRL says "done" at its own time limit too
        terminated = success or escaped or (bool(done) and self._steps < self._loaded.horizon)
        truncated = not terminated and (bool(done) or self._steps >= self.horizon)
        return Outcome(float(reward), bool(success), bool(terminated), bool(truncated))

    def observe(self, images: bool = True) -> dict[str, Any]:
        if self._pov is None or self._loaded is None:
            raise RuntimeError(NOT_BEGUN)
        seen: dict[str, Any] = {"state": np.zeros(0, np.float32), "instruction": self._loaded.instruction}
        if images:
            seen["images"] = {"pov": resize(self._pov, (self.config.height, self.config.width))}
        return seen

    def close(self) -> None:
        """End the game."""
        game, self._game, self._loaded, self._pov = self._game, None, None, None
        if game is not None:
            game.close()

    def _load(self, task: MineRLTask) -> Any:
        from hydra.utils import get_method

        game = get_method(self.config.factory)(task.name)
        names = set(getattr(game.action_space, "spaces", {}))
        if "camera" not in names or not names <= {*BUTTONS, "camera"}:
            game.close()
            raise ValueError(
                f"{task.name} has the actions {sorted(names)}, which are not MineRL 1.0's "
                "(PyPI's minerl is 0.4): pip install --no-deps 'git+https://github.com/minerllabs/minerl@v1.0.2'"
            )
        return game


def make_minerl(name: str) -> Any:
    """MineRL's environment of a Gym id; Minecraft starts at its first `reset`.

    Raises:
        ModuleNotFoundError: MineRL is not installed; with how to install it.
    """
    try:
        import gym as old_gym
        import minerl  # noqa: F401 (registers the ids)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(INSTALL) from error
    return old_gym.make(name)


def game_action(vector: np.ndarray, space: Any) -> dict[str, Any]:
    """An action vector [25] in the game's own dictionary space; buttons that it lacks are left out."""
    action = action_dictionary(np.asarray(vector, np.float32))
    action["camera"] = np.clip(action["camera"], space.spaces["camera"].low, space.spaces["camera"].high)
    return {name: value for name, value in action.items() if name in space.spaces}


def restart_counters(game: Any) -> None:
    """Set MineRL's step counters to zero: its wrappers forget to and would end the next episode early."""
    while game is not None:
        if "num_steps" in vars(game):
            game.num_steps = 0
        game = vars(game).get("env")
