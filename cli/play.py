"""playloop play: play an environment, a world model or both in the browser, in real time.

Usage: playloop play [key=value …]

Opens a page: W A S D and mouse, or the keys that the page shows for this environment. H hands the controls to
the agent (agent=…) and takes them back, P pauses, "." is a single step, N begins a new episode, V records a
data set that `playloop train` reads; one that a kill has cut off is completed by the next playloop play. With
both env= and world=, the same actions drive both side by side; a world is a folder of ours, or one that
`playloop convert` made.

Examples:
  playloop play
  playloop play world=runs/world
  playloop play env=craft world=runs/world agent=explorer
  playloop play env=libero suite=libero_object task=3 agent=policy
  playloop play env=robosuite task=Lift fps=10"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from playloop.cli.arguments import Arguments
from playloop.configs.checkpoints import FITTING, find_checkpoint, find_checkpoints, make_env
from playloop.core.episode import FRESH, Episode
from playloop.core.fields import make
from playloop.rollouts.selection import task_number

if TYPE_CHECKING:
    from playloop.envs.world import WorldEnvConfig
    from playloop.rollouts.play.session import SessionConfig

INVERSES = {"craft": "craft-inverse"}
"""Family of the frames → the shipped inverse-dynamics model that was trained on such."""


def run(arguments: Arguments, config: DictConfig) -> int:
    """Serve the page until interrupted; returns the exit status."""
    session = session_config(config, arguments)
    clean_up(session.out)

    from playloop.rollouts.play.access import AccessCheck, is_loopback
    from playloop.rollouts.play.server import PlayServer
    from playloop.rollouts.play.serving import listen, make_server

    loopback = is_loopback(config.host)
    access = AccessCheck(loopback, None if loopback else secrets.token_urlsafe(24))
    server = PlayServer(session, access, config.sessions, int(config.upload_megabytes * 1_000_000))
    listener = listen(config.host, config.port)
    address = url(config.host, listener.getsockname()[1], access.token)
    print(f"Playing at {address}  (Ctrl-C ends it; recordings: {session.out})", flush=True)
    if config.browser and has_screen():
        webbrowser.open(address)
    with contextlib.suppress(KeyboardInterrupt):  # the way to end it
        make_server(server.app, server.connections).run(sockets=[listener])
    return 0


def clean_up(out: Path) -> None:
    """Remove what killed sessions have left; recordings in this folder, or under runs/, are made whole."""
    from playloop.core.scratch import sweep
    from playloop.rollouts.play.recorder import complete_all

    sweep("play")
    for text, _ in complete_all([out, *sorted(Path("runs").glob("play-*"))]):
        print(text, flush=True)


def adapted(words: list[str]) -> list[str]:
    """The words with what is not wanted left out: a world model without env= is played alone."""
    given = dict(word.partition("=")[::2] for word in words)
    if given.get("world", "null") != "null" and "env" not in given:
        words = ["env=null", *words]
    # Hydra deletes a group's choice with ~; agent has none to begin with.
    return ["~env" if word == "env=null" else word for word in words if word != "agent=null"]


def session_config(config: DictConfig, arguments: Arguments) -> SessionConfig:
    """Check the settings and put a session's together.

    Raises:
        ValueError: they do not fit together.
        OSError: a checkpoint is not there.
    """
    from playloop.rollouts.play.session import SessionConfig

    if config.get("env") is None and config.world is None:
        raise ValueError("there is nothing to play; give env=… or world=….")
    if not config.host:
        raise ValueError("host= names no address; give host=127.0.0.1, or 0.0.0.0 for all of this machine's.")
    parts = parts_of(config)
    first, person, agent = next(iter(parts.values())), make(config.person), config.get("agent")
    if agent is not None:
        find_checkpoints(agent, first.contract())
    return SessionConfig(
        parts=parts,
        # A world model gets no keys that do nothing in it.
        person=dataclasses.replace(person, without=(*person.without, *first.idle_buttons())),
        episode=first_episode(first, config),
        out=arguments.choose_out(config.out).absolute(),
        agent=make(agent) if agent is not None else None,
        fps=config.fps,
        command=arguments.command,
    )


def parts_of(config: DictConfig) -> dict[str, Any]:
    """The environment, the world model, or both in this order; ValueError if it cannot be played so."""
    parts: dict[str, Any] = {}
    if config.get("env") is not None:
        parts["env"] = make_env(config.env)
    if config.world is not None:
        parts["world"] = world = world_of(find_checkpoint(str(config.world)), config.inverse)
        world.check()  # the page is not to be the first that shows an error
        if config.init is not None:
            world.episodes(inits=[config.init])
    if config.horizon is not None:  # a person can take the time
        for name, env in parts.items():
            if any(field.name == "horizon" for field in dataclasses.fields(env)):
                parts[name] = dataclasses.replace(env, horizon=config.horizon)
    return parts


def world_of(checkpoint: Path, inverse: str | None) -> WorldEnvConfig:
    """A world model of any kind as an environment, its frames drawn as it was released.

    `inverse` is a folder, the name of a shipped model, None, or "auto": the one for such frames, if there is.
    """
    from playloop.envs.world import WorldEnvConfig
    from playloop.worlds.open import count_starts, read_contract

    contract, _ = read_contract(checkpoint)
    if inverse == FITTING:
        inverse = INVERSES.get(contract.family)
    found, inits = str(find_checkpoint(str(inverse))) if inverse else None, count_starts(checkpoint)
    return WorldEnvConfig(str(checkpoint), inits=inits, inverse=found)


def first_episode(env: Any, config: DictConfig) -> Episode:
    """The episode that `task`, `init` and `seed` name; ValueError if there is none."""
    task = 0 if config.task is None else task_number(config.task, env)
    if config.init is None:  # also where no initial states are stored
        return Episode(env.suite, task, FRESH, config.seed)
    [episode] = env.episodes(tasks=[task], inits=[config.init], seed=config.seed)
    return episode


def url(host: str, port: int, token: str | None) -> str:
    """What to open."""
    name = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}/" + (f"?token={token}" if token else "")


def has_screen() -> bool:
    """Whether a browser can show itself here."""
    return sys.platform == "darwin" or any(name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY"))
