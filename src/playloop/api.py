"""What `import playloop` offers: the verbs as functions, of names or of objects.

A name is an option as on the command line (`env=toy`), with the settings that it has there; an object is
somebody's own. Settings of the environment and the agent are keywords by the last part of their key (`suite`,
`checkpoint`), or by all of it: `**{"agent.decoder.rounds": 4}`.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playloop.configs import objects
from playloop.configs.checkpoints import find_checkpoint
from playloop.configs.compose import configure
from playloop.configs.folders import results_folder
from playloop.configs.words import literal
from playloop.core.fields import make

if TYPE_CHECKING:
    from playloop.agents.base import Agent
    from playloop.core.results import EpisodeResult
    from playloop.envs.base import PlayEnv
    from playloop.rollouts.compare import Comparison
    from playloop.rollouts.rollout import Rollout
    from playloop.worlds.playable import Playable

Tasks = int | str | list[int | str] | None


@dataclass(frozen=True)
class Evaluation:
    """An evaluation that has been run.

    Args:
        folder: with `episodes.jsonl`, `summary.json`, `report.html` and `videos/`.
        summary: what `summary.json` holds: "result" follows from the episodes, "run" tells how it was made.
    """

    folder: Path
    summary: dict[str, Any]

    @property
    def success(self) -> float | None:
        """The success rate, 0 to 1; None if no episode could be judged."""
        rate: float | None = self.summary["result"]["overall"]["rate"]
        return rate

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the rate."""
        low, high = self.summary["result"]["overall"]["wilson95"]
        return low, high

    @property
    def episodes(self) -> list[EpisodeResult]:
        """All episodes, errors included."""
        from playloop.rollouts.store import read_results

        return read_results(self.folder)

    def __str__(self) -> str:
        overall = self.summary["result"]["overall"]
        if self.success is None:
            return f"no episode could be judged, {overall['errors']} errors ({self.folder})"
        low, high = self.interval
        counts = f"{overall['successes']} / {overall['episodes']} = {self.success:.1%}"
        errors = f", {overall['errors']} errors" if overall["errors"] else ""
        return f"{counts} (95 %: {low:.1%} to {high:.1%}){errors} ({self.folder})"


def make_env(name: str = "libero", **settings: Any) -> PlayEnv:
    """An environment by name, a `gymnasium.Env`.

    >>> make_env("toy", horizon=9).horizon
    9

    Args:
        name: as `env=NAME` of `playloop eval`, a plugin's too.
        settings: its settings, see `playloop eval env=NAME --help`.

    Raises:
        ValueError: there is no such environment or setting, or a setting cannot be so; names the nearest.
    """
    config = configure("eval", [f"env={name}", "agent=random"], objects.below("env", settings))
    return objects.make_env(config.env).make()


def load_policy(checkpoint: str | Path = "libero", **settings: Any) -> Agent:
    """A policy from its checkpoint, ready to act: for `evaluate`, `record` and `run_episode`.

    Args:
        checkpoint: a folder of Playloop's or of OpenVLA's family, or the name of a shipped one.
        settings: those of `agent=policy`, of a published one those of `agent=openvla`.

    Raises:
        FileNotFoundError: there is no such checkpoint, or a file of it is missing.
        ValueError: a setting cannot be so, or the checkpoint is damaged.
    """
    from playloop.agents.acting import as_agent
    from playloop.nn.contents import kind_in

    folder = find_checkpoint(str(checkpoint))
    group = "openvla" if kind_in(folder) == "openvla" else "policy"
    given = objects.below("agent", {"checkpoint": str(folder)} | settings)
    node = configure("eval", ["env=toy", f"agent={group}"], given).agent
    return objects.remember(as_agent(make(node)), node)


def load_world(
    checkpoint: str | Path = "craft", device: str = "cpu", weights: Any = None
) -> Playable[Any, Any]:
    """A world model from its checkpoint; `make_env("world", checkpoint=…)` is one to act in.

    Args:
        checkpoint: a folder of ours, one that `playloop convert` made, or the name of a shipped one.
        device: to run on.
        weights: "int8" or "fp8": of a MineWorld in eight bits.

    Raises:
        FileNotFoundError: there is no such checkpoint, or a file of it is missing.
        ValueError: the checkpoint is damaged, or has no such weights.
    """
    from playloop.worlds.open import load_playable

    return load_playable(find_checkpoint(str(checkpoint)), device, weights)


def run_episode(
    env: Any = "libero",
    agent: Any = "policy",
    *,
    task: int | str = 0,
    init: int = 0,
    seed: int = 0,
    **settings: Any,
) -> Rollout:
    """Run one episode in this process and keep all of it; `.plot()` draws it.

    Args:
        env: a name, settings of an environment (`EnvConfig`), or an environment, of which the settings count.
        agent: a name, an agent, a policy, or settings with `make()`.
        task: by number or name.
        init: number of the initial state.
        seed: of the episode.
        settings: of the environment and the agent, where these are names.

    Raises:
        RuntimeError: the agent or the environment failed.
        ValueError: a setting cannot be so, there is no such episode, or the agent does not fit.
    """
    from playloop.agents.acting import as_agent
    from playloop.rollouts.rollout import run_episode as run
    from playloop.rollouts.selection import select_episodes

    chosen = {"task": task, "inits": [init], "seed": seed}
    config, acting = objects.configured("eval", env, agent, chosen | settings)
    where, acting = objects.made(config, acting)
    [episode] = select_episodes(config, where)
    return run(where, as_agent(acting), episode)


def evaluate(
    env: Any = "libero",
    agent: Any = "policy",
    *,
    task: int | str | None = None,
    tasks: Tasks = None,
    inits: int | list[int] | None = 2,
    episodes: int | None = None,
    seed: int = 0,
    workers: int = 2,
    videos: int | str | list[str] | None = 1,
    control: str | list[str] | None = None,
    shard: str | None = None,
    step_timeout: float = 600,
    out: str | Path | None = None,
    **settings: Any,
) -> Evaluation:
    """`playloop eval`: how often an agent succeeds. Repeated with the same `out` it runs what is missing.

    Args:
        env: a name, settings of an environment (`EnvConfig`), or an environment, of which the settings count.
        agent: a name, an agent, a policy, or settings with `make()`.
        task: one task, by number or name.
        tasks: several; None for all.
        inits: initial states a task: the first so many, or these; None for all.
        episodes: at most so many.
        seed: of the run.
        workers: simulator processes; 0 runs them in this one.
        videos: episodes a task of which a video is kept, "failures", "all", "none", or keys of episodes.
        control: who is judged beside the agent: "random", "hold", "replay", or a list of them.
        shard: "i/n", the i-th of n equal parts; `join` puts them together.
        step_timeout: seconds without an answer after which an environment is replaced.
        out: folder of the results; None for a new one under runs/.
        settings: of the environment and the agent, where these are names.

    Raises:
        ValueError: a setting cannot be so, the agent does not fit, or `out` belongs to other settings.
        OSError: a file is missing, or `out` can be no folder.
    """
    own: dict[str, Any] = {"task": task, "tasks": tasks, "inits": inits, "episodes": episodes, "seed": seed}
    own |= {"workers": workers, "videos": videos, "control": control, "shard": shard}
    own |= {"step_timeout": step_timeout, "out": out}
    config, acting = objects.configured("eval", env, agent, own | settings)
    folder = results_folder("eval", config.out)
    command = _call(evaluate, env, agent, own | settings)
    return Evaluation(folder, objects.run_evaluation(config, folder, command, acting))


def record(
    env: Any = "libero",
    agent: Any = "expert",
    *,
    out: str | Path,
    episodes: int = 100,
    stride: int = 1,
    task: int | str | None = None,
    tasks: Tasks = None,
    seed: int = 0,
    workers: int = 2,
    step_timeout: float = 600,
    **settings: Any,
) -> Path:
    """`playloop record`: an agent's successful episodes as a LeRobot v3.0 data set; returns its folder.

    Args:
        env: as in `evaluate`.
        agent: as in `evaluate`.
        out: the folder; a killed recording goes on there.
        episodes: successful ones wanted, spread over the tasks.
        stride: every so many steps become a row.
        task: one task, by number or name.
        tasks: several; None for all.
        seed: of the placements, which are never a benchmark's initial states.
        workers: simulator processes; 0 runs them in this one.
        step_timeout: seconds without an answer after which an environment is replaced.
        settings: of the environment and the agent, where these are names.

    Raises:
        ValueError: a setting cannot be so, or an agent that hardly ever succeeds.
        OSError: the folder holds a whole data set, or can be none.
    """
    from playloop.rollouts.recording.record import record as carry_out

    own: dict[str, Any] = {"task": task, "tasks": tasks, "episodes": episodes, "stride": stride, "seed": seed}
    own |= {"workers": workers, "step_timeout": step_timeout, "out": out}
    config, acting = objects.configured("record", env, agent, own | settings)
    objects.made(config, acting)
    config.out = literal(str(results_folder("record", out)))
    config.command = literal(_call(record, env, agent, own | settings))
    return carry_out(config, acting)


def compare(
    first: str | Path | Evaluation, *others: str | Path | Evaluation, out: str | Path | None = None
) -> Comparison:
    """`playloop compare`: evaluations on the episodes that all of them have; printed, it is a table.

    Args:
        first: an evaluation or its folder.
        others: one more at least.
        out: an HTML file to write, too.

    Raises:
        FileNotFoundError: a folder holds no evaluation.
        ValueError: they judge differently, or share no episode.
    """
    from playloop.rollouts.compare import compare as compare_folders
    from playloop.rollouts.comparison import write_comparison

    found = compare_folders(*map(_folder_of, (first, *others)))
    if out is not None:
        write_comparison(found, Path(out))
    return found


def join(*shards: str | Path | Evaluation, out: str | Path, env: Any = None) -> Evaluation:
    """`playloop join`: the shards of an evaluation as one evaluation. Nothing is run.

    Args:
        shards: all of them, or their folders.
        out: a new folder.
        env: settings of the environment, where it publishes averages and `evaluate` ran the shards.

    Raises:
        ValueError: they are not all shards of one evaluation, run to their end.
        OSError: a folder holds no evaluation, or `out` can be no new folder.
    """
    folder = results_folder("join", out)
    given = ", ".join(repr(str(_folder_of(one))) for one in shards)
    command = f"playloop.join({given}, out={str(out)!r})"
    return Evaluation(folder, objects.join_shards([_folder_of(one) for one in shards], folder, command, env))


def _folder_of(one: str | Path | Evaluation) -> Path:
    return Path(one.folder if isinstance(one, Evaluation) else one)


def _call(function: Any, env: Any, agent: Any, given: dict[str, Any]) -> str:
    """A call as one would type it, for the record; what is as it would be is left out."""
    usual = inspect.signature(function).parameters
    named = {"env": env, "agent": agent} | given
    changed = {name: v for name, v in named.items() if name not in usual or usual[name].default != v}
    words = [f"{name}={_said(value)}" for name, value in changed.items()]
    return f"playloop.{function.__name__}({', '.join(words)})"


def _said(value: Any) -> str:
    plain = value is None or isinstance(value, str | int | float | list | dict | Path)
    return repr(str(value) if isinstance(value, Path) else value) if plain else f"{type(value).__name__}(…)"
