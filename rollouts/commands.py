"""The command that films one episode, or all failures, of the command that ran an evaluation."""

from __future__ import annotations

import re
import shlex

from playloop.core.episode import Episode

CHOOSING = ("task", "tasks", "inits", "episodes", "seed", "shard", "control", "videos", "out")
KEY = re.compile(r"[+~]{0,2}(\w+)=?")


def film_command(command: str, episode: Episode, out: str) -> str:
    """What films exactly this episode, into another folder: the evaluation's own one keeps its report.

    >>> film_command("playloop eval env=toy inits=5 out=a", Episode("toy_reach", 2, 4), "a-films")
    "playloop eval env=toy task=2 'inits=[4]' seed=0 videos=all out=a-films"
    >>> film_command("playloop.evaluate(env='toy', inits=5)", Episode("toy_reach", 2, 4), "a-films")
    "the same call with task=2, inits=[4], seed=0, videos='all', out='a-films'"
    """
    chosen = {"task": episode.task, "inits": [episode.init], "seed": episode.seed}
    return _changed(command, {**chosen, "videos": "all", "out": out}, CHOOSING)


def failures_command(command: str, out: str, joined: bool = False) -> str:
    """What films all failures into the evaluation's folder; of `joined` shards that of all of them.

    >>> failures_command("playloop eval env=toy inits=5 videos=none", "a")
    'playloop eval env=toy inits=5 videos=failures out=a'
    """
    return _changed(command, {"videos": "failures", "out": out}, ("videos", "out", *["shard"] * joined))


def films_command(command: str, keys: list[str], out: str, joined: bool = False) -> str:
    """What films episodes by their keys into the evaluation's folder; `joined` likewise."""
    values: dict[str, object] = {"videos": keys, "out": out}
    return _changed(command, values, ("videos", "out", *["shard"] * joined))


def _changed(command: str, values: dict[str, object], dropped: tuple[str, ...]) -> str:
    """A command with these settings instead of those that are dropped; of a call in Python, what differs."""
    words = shlex.split(command) if command.startswith("playloop eval") else []
    if words[:2] != ["playloop", "eval"]:
        return "the same call with " + ", ".join(f"{name}={value!r}" for name, value in values.items())
    kept = [word for word in words[2:] if (found := KEY.match(word)) is None or found[1] not in dropped]
    given = [f"{name}={_word(value)}" for name, value in values.items()]
    flags = [word for word in kept if word.startswith("--")]
    first = min((kept.index(word) for word in flags), default=len(kept))
    return shlex.join([*words[:2], *kept[:first], *given, *kept[first:]])


def _word(value: object) -> str:
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)
