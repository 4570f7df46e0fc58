"""From settings to the objects that a verb runs with, and from objects to settings."""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from omegaconf import DictConfig

from playloop.configs.checkpoints import find_checkpoint, find_checkpoints
from playloop.configs.checkpoints import make_env as make_env
from playloop.configs.compose import configure, load
from playloop.configs.words import is_setting
from playloop.core.fields import make, plain, recorded
from playloop.envs.config import EnvConfig

_MADE_OF: WeakKeyDictionary[Any, Mapping[str, Any]] = WeakKeyDictionary()
"""Agent → the settings that it was made of; of another's, what tells it from others of its class."""


def below(part: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a part by their whole keys."""
    return {f"{part}.{name}": value for name, value in settings.items()}


def remember(agent: Any, settings: Mapping[str, Any]) -> Any:
    """The agent; results will say of which settings it was made."""
    _MADE_OF[agent] = settings
    return agent


def configured(verb: str, env: Any, agent: Any, given: Mapping[str, Any]) -> tuple[DictConfig, Any]:
    """A verb's complete configuration, and who acts if that is an object and no settings.

    Args:
        verb: "eval" or "record".
        env: an option's name, an `EnvConfig`, or an environment, of which the settings count.
        agent: an option's name, settings that are a dataclass, an agent or a policy.
        given: further settings, by the last part of their key or by all of it.

    Raises:
        ValueError: as `configure`, or `env` is none.
    """
    words, values = [], dict(given)
    if isinstance(env, str):
        words.append(f"env={env}")
    else:
        values = {"env": settings_of(env)} | values
    if isinstance(agent, str):
        return configure(verb, [*words, f"agent={agent}"], values), None
    if is_dataclass(agent) and hasattr(agent, "make"):
        return configure(verb, words, {"agent": agent} | values), None
    config = configure(verb, [*words, "agent=random"], values)
    config.agent = _told_apart(agent)
    return config, agent


def settings_of(env: Any) -> EnvConfig:
    """The settings of an environment, or these themselves.

    Raises:
        ValueError: it is none of Playloop's.
    """
    found = env if isinstance(env, EnvConfig) else getattr(getattr(env, "unwrapped", env), "config", None)
    if not isinstance(found, EnvConfig) or not is_dataclass(found):
        raise ValueError(
            f"env={type(env).__name__}(…) is no environment; give a name, a dataclass derived from "
            "playloop.envs.config.EnvConfig, or an environment with such a config"
        )
    return found


def made(config: DictConfig, agent: Any = None) -> tuple[EnvConfig, Any]:
    """The environment's settings, checked, and who acts or its settings; checkpoints become folders in place.

    Args:
        config: a verb's.
        agent: who acts instead of `config.agent`.
    """
    env = make_env(config.env)
    if agent is None:
        find_checkpoints(config.agent, env.contract())
        agent = make(config.agent)
    return env, agent


def run_evaluation(config: DictConfig, out: Path, command: str, agent: Any = None) -> dict[str, Any]:
    """Carry out `playloop eval`; returns the summary.

    Args:
        config: its settings.
        out: folder of the results.
        command: for the record.
        agent: who acts instead of `config.agent`, which then only says who that is.

    Raises:
        ValueError: nothing is selected, the agent does not fit, or the folder belongs to other settings.
    """
    name_order(config.env)
    settings = recorded(plain(config))
    env, agent = made(config, agent)  # after `plain`: the record keeps the names, alike everywhere

    from playloop.rollouts.evaluate import evaluate
    from playloop.rollouts.selection import select_episodes
    from playloop.rollouts.shards import deal

    episodes, videos = deal(select_episodes(config, env), config.shard, plain(config)["videos"])
    run = (config.workers, videos, settings, command, None, config.step_timeout)
    return evaluate(env, agent, episodes, out, *run, controls=_listed(plain(config)["control"]))


def join_shards(folders: Sequence[Path], out: Path, command: str, env: Any = None) -> dict[str, Any]:
    """Carry out `playloop join`; returns the summary.

    Args:
        folders: of the shards.
        out: folder of the whole.
        command: for the record.
        env: the environment's settings, where it publishes averages and a call in Python ran the shards.

    Raises:
        ValueError: they are not all shards of one evaluation, or `env` is needed.
    """
    from playloop.rollouts.join import Part, join
    from playloop.rollouts.report import eval_command

    summaries = [Part(folder).summary for folder in folders]
    if env is None and any(summary["result"]["averages"] for summary in summaries):
        verb, *words = shlex.split(eval_command(summaries[0]["run"]))[1:] or [""]
        if verb != "eval":
            raise ValueError(
                "a call in Python ran these shards, and their environment publishes averages; give env=…"
            )
        env = make(load("eval", [word for word in words if is_setting(word)]).env)
    return join(folders, out, None if env is None else settings_of(env).averages, command)


def _listed(value: Any) -> list[Any]:
    """The different items of a setting that is none, one or a list."""
    return list(dict.fromkeys([] if value is None else value if isinstance(value, list) else [value]))


def name_order(env: DictConfig) -> None:
    """Put into a world model's sampler what null stands for, so that results say how frames were drawn."""
    if env.get("sampler") is None:
        return
    from playloop.worlds.open import outline

    world = outline(find_checkpoint(str(env.get("checkpoint"))))
    for name, value in world.settings(world.resolved(make(env.sampler))).items():
        if env.sampler.get(name) is None:
            env.sampler[name] = value


def _told_apart(agent: Any) -> Mapping[str, Any]:
    """What the record says of an object that acts: its settings, or its class and a mark of its own.

    Two objects of a class may act differently, and nobody could tell: results of one are never continued with
    the other.
    """
    cls = type(agent)
    mark = {"class": f"{cls.__module__}.{cls.__qualname__}", "object": uuid.uuid4().hex}
    try:
        return _MADE_OF.setdefault(agent, mark)
    except TypeError:  # it takes no weak reference
        return mark
