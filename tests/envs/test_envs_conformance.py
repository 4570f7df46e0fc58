"""Every configuration of an environment is what its name says: equal to the bit, whatever its past."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from one_task import OneLiberoTask, OneRobosuiteTask
from simpler_assets import why_skip

from playloop.configs.checkpoints import find_checkpoint
from playloop.core.episode import Episode
from playloop.envs.simpler.fractal.layouts import CLOSE, NEAR, PICK
from playloop.testing import check_env
from playloop.testing.acts import Shove, keys
from playloop.testing.determinism import check_in_turn
from playloop.testing.traces import Act, wild

FOLDER = Path(__file__).parents[2] / "configs" / "env"
WITHOUT = "robosuite is not installed: pip install 'playloop[libero]'"


@dataclass(frozen=True)
class Case:
    """How a configuration is checked; see `check_env`."""

    settings: dict[str, Any] = field(default_factory=dict)
    steps: int = 20
    act: Act = wild
    moves: str | tuple[str, ...] = ""
    tasks: list[int] | None = None
    fresh: bool = True
    skip: Callable[[], str] = str
    gym: str = ""
    target: type | None = None
    """Instead of the configuration's class: the same with fewer tasks."""


SHOVE = Shove(0.05, 0.05)
CASES = {
    "craft": Case(act=keys, steps=60, moves="drops", tasks=[0, 2, 3], fresh=False),  # see craft_digest.py
    "libero": Case(
        {"size": 64, "horizon": 60},
        act=SHOVE,
        steps=24,
        moves="object/",
        skip=lambda: "" if find_spec("libero") else WITHOUT,
        gym="playloop/Libero-v0",
        target=OneLiberoTask,
    ),
    "robosuite": Case(
        {"size": 64, "horizon": 60},
        act=SHOVE,
        steps=24,
        moves="object/",
        skip=lambda: "" if find_spec("robosuite") else WITHOUT,
        gym="playloop/Robosuite-v0",
        target=OneRobosuiteTask,
    ),
    "simpler": Case(
        act=Shove(0.05), moves="object/", tasks=[0, 1, 2, 3], skip=lambda: why_skip("bridge"), steps=12
    ),
    "simpler fractal": Case(
        {"suite": "fractal", "shading": "fast"},
        act=Shove(0.1),
        tasks=[NEAR, CLOSE],
        moves=("object/", "drawer"),
        steps=18,
        skip=lambda: why_skip("fractal"),
    ),
    "toy": Case(fresh=False),
    "world": Case({"checkpoint": str(find_checkpoint("craft"))}, act=keys, steps=6),
}
REAL_TIME = {"luanti", "minerl"}
"""They run in real time, so that no two episodes are equal: they declare deterministic=False."""
CONVERTED = {"mineworld"}
"""Needs a converted release: tests/worlds/test_worlds_mineworld_play.py makes one and checks it."""


def registered(name: str, config: Any) -> Any:
    """Through Gymnasium's registry."""
    return gym.make(name, config=config).unwrapped


def load(name: str, **settings: Any) -> Any:
    return instantiate(OmegaConf.load(FOLDER / f"{name}.yaml"), **settings)


def test_no_configuration_is_forgotten():
    checked = {name.split()[0] for name in CASES}
    assert checked | REAL_TIME | CONVERTED == {path.stem for path in FOLDER.glob("*.yaml")}


@pytest.mark.parametrize("name", sorted(REAL_TIME))
def test_real_time_is_declared(name):
    assert not load(name).contract().deterministic


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # ManiSkill's, under NumPy 2
@pytest.mark.parametrize("name", CASES)
def test_an_episode_is_what_its_name_says(name):
    case = CASES[name]
    if reason := case.skip():
        pytest.skip(reason)
    made = {"_target_": f"{case.target.__module__}.{case.target.__qualname__}"} if case.target else {}
    config = load(name.split()[0], **case.settings, **made)
    make = partial(registered, case.gym, config) if case.gym else config.make
    check_env(make, case.steps, case.act, case.moves, case.tasks, case.fresh)


def test_a_variant_is_what_its_name_says():
    """Those whose assets lie here: the base and a brighter light."""
    if reason := why_skip("fractal"):
        pytest.skip(reason)
    env = load("simpler", suite="fractal_variants", shading="fast").make()
    try:
        episodes = [Episode("fractal_variants", PICK, 75 * variant + 12) for variant in (0, 3)]
        check_in_turn(env, [episodes, episodes[::-1]], 18, Shove(0.1), "object/")
    finally:
        env.close()
