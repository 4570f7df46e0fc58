"""Playloop's environments in Gymnasium's registry: `gymnasium.make("playloop/Libero-v0", suite="libero_10")`.

`import playloop` enters them; `gymnasium.make("playloop:playloop/Libero-v0")` imports it by itself. (Since
its version 1.0 Gymnasium looks for no entry points of installed packages any more.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gymnasium as gym

if TYPE_CHECKING:
    from playloop.envs.base import PlayEnv
    from playloop.envs.config import EnvConfig

FAMILIES = {
    "Craft": "playloop.envs.craft.env.CraftConfig",
    "Libero": "playloop.envs.libero.LiberoConfig",
    "Luanti": "playloop.envs.luanti.env.LuantiConfig",
    "MineRL": "playloop.envs.minerl.MineRLConfig",
    "Robosuite": "playloop.envs.robosuite.RobosuiteConfig",
    "Simpler": "playloop.envs.simpler.config.SimplerConfig",
    "ToyReach": "playloop.envs.toy.ToyReachConfig",
    "World": "playloop.envs.world.WorldEnvConfig",
}
"""Name in the registry → settings."""
REAL_TIME = ("Luanti", "MineRL")
"""Families of which no two episodes are equal."""
CHECKPOINTS = ("checkpoint", "inverse")
"""Settings that may name what ships with the package."""


def register() -> None:
    """Enter all families, `playloop/NAME-v0`; nothing of them is imported."""
    for family in FAMILIES:
        # Environments end their own episodes, each suite has its own limits: no wrapper counts steps again.
        gym.register(
            f"playloop/{family}-v0",
            entry_point="playloop.configs.registration:make",
            disable_env_checker=True,
            nondeterministic=family in REAL_TIME,
            kwargs={"family": family},
        )


def make(
    family: str, config: EnvConfig | None = None, render_mode: str | None = None, **settings: Any
) -> PlayEnv:
    """What `gymnasium.make` calls.

    Args:
        family: one of `FAMILIES`.
        config: its settings as a whole.
        render_mode: "rgb_array" or None, see `PlayEnv.render`.
        settings: fields of `config` instead of it; a world model's default checkpoint is the shipped one.

    Raises:
        ValueError: there is no such setting, or it cannot be so; names the nearest.
        FileNotFoundError: there is no such checkpoint.
    """
    from playloop.envs.config import EnvConfig

    if config is None:
        config = _configured(family, settings)
    elif settings:
        raise ValueError(f"playloop/{family}-v0 got config=… and {', '.join(settings)}; give one of the two")
    if not isinstance(config, EnvConfig):
        raise ValueError(
            f"playloop/{family}-v0: config={config!r} is not derived from playloop.envs.config.EnvConfig; "
            f"give {FAMILIES[family]}(…), or its fields as keywords"
        )
    config.check()
    env = config.make()
    env.render_mode = render_mode
    return env


# `PlayEnv.metadata` for Gymnasium, which looks for it here before it calls
make.metadata = {"render_modes": ["rgb_array"]}  # type: ignore[attr-defined]


def _configured(family: str, settings: Mapping[str, Any]) -> EnvConfig:
    from playloop.core.fields import find, hints, inner_class
    from playloop.core.words import nearest

    cls = find(FAMILIES[family])
    fields, given = hints(cls), dict(settings)
    for name in given:
        if name not in fields:
            raise ValueError(f"playloop/{family}-v0 has no setting {name!r}{nearest(name, fields)}.")
    if "checkpoint" in fields:
        given = {"checkpoint": "craft"} | given
    for name, value in given.items():
        if name in CHECKPOINTS and value is not None:
            from playloop.configs.checkpoints import find_checkpoint

            given[name] = str(find_checkpoint(str(value)))
        elif isinstance(value, Mapping) and (inner := inner_class(fields[name])) is not None:
            given[name] = inner(**value)
    made: EnvConfig = cls(**given)
    return made


register()
