"""Finding a checkpoint: a folder, or the name of one that ships with the package."""

from __future__ import annotations

import shlex
from importlib import resources
from pathlib import Path

from omegaconf import DictConfig

from playloop.configs.plugins import checkpoint_folders
from playloop.configs.words import literal
from playloop.core.contract import Contract
from playloop.core.fields import make
from playloop.core.files import read_json
from playloop.core.words import nearest
from playloop.envs.config import EnvConfig

FITTING = "auto"
"""Instead of a checkpoint: the shipped policy that was made for the environment."""


def find_checkpoint(word: str) -> Path:
    """The folder that `word` names; a folder of that name goes before a shipped checkpoint.

    Raises:
        FileNotFoundError: it is neither.
    """
    if word and Path(word).is_dir():  # an empty path is the working folder
        return Path(word)
    shipped = shipped_checkpoints()
    if word in shipped:
        return shipped[word]
    if Path(word).suffix == ".ckpt" and Path(word).is_file():
        raise FileNotFoundError(
            f"{word} is a published file; make a folder of it: playloop convert {shlex.quote(word)} out=DIR"
        )
    hint = nearest(word, shipped) if shipped else " (none is shipped)"
    raise FileNotFoundError(f"{word} is neither a checkpoint folder nor a shipped checkpoint{hint}.")


def find_checkpoints(settings: DictConfig, contract: Contract | None = None) -> None:
    """Replace every checkpoint that an agent's or environment's settings name, at any depth, by its folder.

    Args:
        settings: changed in place.
        contract: the environment's, for policies that are to be found by it.
    """
    for name, value in settings.items():
        if isinstance(value, DictConfig):
            find_checkpoints(value, contract)
        elif name == "checkpoint" and value == FITTING and contract is not None:
            settings[name] = literal(str(fitting_policy(contract)))
        elif name in ("checkpoint", "inverse") and value is not None:
            settings[name] = literal(str(find_checkpoint(value)))


def make_env(settings: DictConfig) -> EnvConfig:
    """A verb's `env`, checked; nothing of it is built, no weights are read. Checkpoints become folders."""
    find_checkpoints(settings)
    env = make(settings)
    if not isinstance(env, EnvConfig):
        raise ValueError(
            f"env._target_={settings['_target_']}: {type(env).__name__} is not derived from "
            "playloop.envs.config.EnvConfig, which says what an environment's settings promise"
        )
    env.check()
    return env


def fitting_policy(contract: Contract) -> Path:
    """The shipped policy that can act under these conventions; a ValueError if there is none."""
    for folder in shipped_checkpoints().values():
        declared = folder / "contract.json"
        if declared.is_file():
            made_for = Contract.from_json(read_json(declared))
            if not made_for.differences(contract):
                return folder
    raise ValueError(
        f"no shipped policy was made for {contract.family}; give checkpoint=DIR, or another agent with "
        "agent=NAME"
    )


def shipped_checkpoints() -> dict[str, Path]:
    """Name → folder, of policies and of world models; Playloop's own go before those of plugins."""
    found = checkpoint_folders("policies", "worlds")
    for package in ("playloop.policies", "playloop.worlds"):
        home = Path(str(resources.files(package))) / "checkpoints"
        found |= {path.name: path for path in sorted(home.glob("*")) if (path / "config.json").is_file()}
    return found
