"""Where agents act: simulators, games and world models, all behind `playloop.envs.base`."""

import gymnasium as gym

from playloop.envs.texts import read_text_when_looked_at

read_text_when_looked_at()
for _name, _target in {
    "Craft": "playloop.envs.craft.env:Craft",
    "Libero": "playloop.envs.libero:LiberoEnv",
    "Luanti": "playloop.envs.luanti.env:LuantiEnv",
    "MineRL": "playloop.envs.minerl:MineRLEnv",
    "Robosuite": "playloop.envs.robosuite:RobosuiteEnv",
    "ToyReach": "playloop.envs.toy:ToyReach",
}.items():
    # Environments end their own episodes (every suite has its own limits), so no wrapper counts steps again.
    gym.register(
        f"playloop/{_name}-v0",
        entry_point=_target,
        disable_env_checker=True,
        nondeterministic=_name in ("Luanti", "MineRL"),
    )
