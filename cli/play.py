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
from playloop.cli.checkpoints import FITTING, find_checkpoint, find_checkpoints, make_env
from playloop.cli.config import configure
from playloop.core.episode import FRESH, Episode
from playloop.core.fields import make
from playloop.rollouts.selection import task_number

if TYPE_CHECKING:
    from playloop.agents.person import PersonConfig
    from playloop.envs.world import WorldEnvConfig

INVERSES = {"craft": "craft-inverse"}
"""Family of the frames → the shipped inverse-dynamics model that was trained on such."""


def run(arguments: Arguments) -> int:
    """Serve the page until interrupted; returns the exit status."""
    arguments.allow()
    config = configure("play", alone(arguments.words), arguments)
    if config is None:
        return 0
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


def alone(words: list[str]) -> list[str]:
    """The words with what is not wanted left out: a world model without env= is played alone."""
    given = dict(word.partition("=")[::2] for word in words)
    if given.get("world", "null") != "null" and "env" not in given:
        words = ["env=null", *words]
    # Hydra deletes a group's choice with ~; agent has none to begin with.
    return ["~env" if word == "env=null" else word for word in words if word != "agent=null"]


def session_config(config: DictConfig, arguments: Arguments) -> Any:
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
    agent, agent_name = None, "agent"
    if config.get("agent") is not None:
        find_checkpoints(config.agent, parts[0].config.contract())
        agent, agent_name = make(config.agent), chosen_agent(arguments.words)
    return SessionConfig(
        parts=parts,
        person=person_of(config, parts[0].config),
        episode=first_episode(parts[0].config, config),
        out=arguments.choose_out(config.out).absolute(),
        agent=agent,
        agent_name=agent_name,
        fps=config.fps,
        command=arguments.command,
    )


def parts_of(config: DictConfig) -> tuple[Any, ...]:
    """The environment, the world model, or both in this order.

    Raises:
        ValueError: they do not take the same actions, or a world model cannot be played so.
    """
    from playloop.rollouts.play.environments import Part, check_together

    parts: list[Any] = []
    if config.get("env") is not None:
        env = patient(make_env(config.env), config.horizon)
        parts.append(Part("env", env.title(), env))
    if config.world is not None:
        world = patient(world_of(find_checkpoint(str(config.world)), config.inverse), config.horizon)
        world.check()  # the page is not to be the first that shows an error
        if config.init is not None:
            world.episodes(inits=[config.init])
        parts.append(Part("world", world.title(), world))
    check_together({part.name: part.config.contract() for part in parts})
    return tuple(parts)


def world_of(checkpoint: Path, inverse: str | None) -> WorldEnvConfig:
    """A world model of any kind as an environment, its frames drawn as it was released.

    Args:
        checkpoint: its folder.
        inverse: a folder, the name of a shipped model, None, or "auto": the one for such frames, if there is.
    """
    from playloop.envs.world import WorldEnvConfig
    from playloop.worlds.open import count_starts, read_contract

    contract, _ = read_contract(checkpoint)
    if inverse == FITTING:
        inverse = INVERSES.get(contract.family)
    found, inits = str(find_checkpoint(str(inverse))) if inverse else None, count_starts(checkpoint)
    return WorldEnvConfig(str(checkpoint), inits=inits, inverse=found)


def person_of(config: DictConfig, env: Any) -> PersonConfig:
    """Whose hands move the first environment; a world model gets no keys that do nothing in it."""
    person: PersonConfig = make(config.person)
    return dataclasses.replace(person, without=(*person.without, *env.idle_buttons()))


def patient(env: Any, horizon: int | None) -> Any:
    """The environment's settings with so long an episode that a person can take the time; see `horizon`.

    Raises:
        ValueError: the horizon is not positive.
    """
    if horizon is None or not any(field.name == "horizon" for field in dataclasses.fields(env)):
        return env
    if horizon < 1:
        raise ValueError(f"horizon={horizon} must be at least 1, or null for the environment's own.")
    return dataclasses.replace(env, horizon=horizon)


def first_episode(env: Any, config: DictConfig) -> Episode:
    """The episode that `task`, `init` and `seed` name.

    Raises:
        ValueError: there is no such task or initial state.
    """
    task = 0 if config.task is None else task_number(config.task, env)
    if config.init is None:  # also where no initial states are stored
        return Episode(env.suite, task, FRESH, config.seed)
    [episode] = env.episodes(tasks=[task], inits=[config.init], seed=config.seed)
    return episode


def chosen_agent(words: list[str]) -> str:
    """The word behind `agent=`, for the page."""
    chosen = [word.partition("=")[2] for word in words if word.startswith("agent=")]
    return chosen[-1] if chosen else "agent"


def url(host: str, port: int, token: str | None) -> str:
    """What to open."""
    name = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}/" + (f"?token={token}" if token else "")


def has_screen() -> bool:
    """Whether a browser can show itself here."""
    return sys.platform == "darwin" or any(name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY"))
