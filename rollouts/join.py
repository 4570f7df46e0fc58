"""`playloop join`: the shards of an evaluation as one evaluation, as if it had been run whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console

from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.files import read_json
from playloop.core.formats import FORMAT
from playloop.core.ledger import differences, read_config
from playloop.core.provenance import this_run
from playloop.core.results import EpisodeResult
from playloop.rollouts.control import arm_folder
from playloop.rollouts.evaluate import SELECTING, SUMMARY, compared, show_result
from playloop.rollouts.progress import new_console
from playloop.rollouts.report import eval_command
from playloop.rollouts.shards import Shard
from playloop.rollouts.store import EPISODES, EpisodeStore, read_results
from playloop.rollouts.summary import summarize

Averages = Callable[[Sequence[EpisodeResult]], list[dict[str, Any]]]


@dataclass(frozen=True)
class Part:
    """A shard's folder, run to its end."""

    folder: Path

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Its `summary.json`."""
        path = self.folder / SUMMARY
        if not path.is_file():
            raise ValueError(
                f"{self.folder} has no {SUMMARY}: its shard was not run to its end; repeat its command"
            )
        return read_json(path, "repeat the shard's command")  # type: ignore[no-any-return]

    @cached_property
    def shard(self) -> Shard:
        """Which it is."""
        named = self.summary["run"]["config"].get("shard")
        if named is None:
            raise ValueError(
                f"{self.folder} is a whole evaluation and no shard; give folders of commands with shard=i/n"
            )
        return Shard.parse(named)

    @property
    def episodes(self) -> list[Episode]:
        """Those that it has results of."""
        return [Episode.from_json(line) for line in self.summary["result"]["episodes"]]

    @property
    def controls(self) -> list[str]:
        """Its control arms."""
        return [control["control"] for control in self.summary["result"].get("controls", [])]

    def settings(self) -> dict[str, Any]:
        """All that must be equal in the shards of one evaluation."""
        chosen = {name: self.summary["run"]["config"].get(name) for name in SELECTING}
        config = read_config(self.folder / "config.json") or {}
        return {**config, "selection": chosen, "control": self.controls}


def join(
    folders: Sequence[Path | str],
    out: Path | str,
    averages: Averages | None = None,
    command: str = "",
    console: Console | None = None,
) -> dict[str, Any]:
    """Write the whole evaluation of its shards to a new folder; nothing is run.

    Args:
        folders: of all shards.
        out: a folder without an evaluation.
        averages: of the environment, see `EnvConfig.averages`.
        command: for the record.
        console: where the table is shown.

    Returns:
        The summary: "result" is that of a run without shards; "run" names the shards' sessions and commands.

    Raises:
        ValueError: a folder is no shard or unfinished, or they are not all shards of one evaluation.
        FileExistsError: `out` holds an evaluation.
    """
    out, parts = Path(out), [Part(Path(folder)) for folder in folders]
    if (out / EPISODES).exists():
        raise FileExistsError(f"{out} holds an evaluation already; give another folder with out=…")
    check_parts(parts)
    parts = sorted(parts, key=lambda part: part.shard.number)
    config = read_config(parts[0].folder / "config.json") or {}
    config.pop("format", None)  # the ledger writes its own
    episodes = sorted(episode for part in parts for episode in part.episodes)
    results = _join_lines(parts, out, config, episodes, "")
    for name in parts[0].controls:
        _join_lines(parts, out, config | {"control": name}, episodes, name)
    _copy_pictures(parts, out, episodes)
    first = parts[0].summary
    names = {task["task"]: task["instruction"] for part in parts for task in part.summary["result"]["tasks"]}
    listed = [names.get(task, "") for task in range(max(names) + 1)]
    contract = Contract.from_json(first["result"]["contract"])
    result = summarize(results.values(), episodes, listed, contract, averages)
    result |= compared(out, parts[0].controls, results, episodes, contract)
    result |= {name: first["result"][name] for name in ("repeatable",) if name in first["result"]}
    made = {name: first["run"][name] for name in ("agent", "environment", "agent_provenance")}
    run = made | {"config": first["run"]["config"] | {"shard": None, "out": str(out)}}
    sessions = [session for part in parts for session in part.summary["run"]["sessions"]]
    run |= this_run(command, {"sessions": sessions}, None)
    run["joined"] = [{"folder": str(p.folder), "command": eval_command(p.summary["run"])} for p in parts]
    summary = {"format": FORMAT, "result": result, "run": run}
    return show_result(out, summary, console or new_console())


def check_parts(parts: Sequence[Part]) -> None:
    """Refuse what is not each shard of one evaluation once, run to its end; see `join`."""
    first, owners = parts[0], dict[int, Path]()
    for part in parts:
        if part.shard.count != first.shard.count:
            raise ValueError(
                f"{first.folder} is shard {first.shard} and {part.folder} {part.shard}; give shards of one "
                "command"
            )
        if changed := differences(first.settings(), part.settings()):
            raise ValueError(
                f"{first.folder} and {part.folder} are not shards of one evaluation ({'; '.join(changed)}); "
                "give shards of one command"
            )
        if (number := part.shard.number) in owners:
            raise ValueError(
                f"{owners[number]} and {part.folder} are both shard {part.shard}; give each once"
            )
        owners[number] = part.folder
        found, asked = len(part.episodes), part.summary["result"]["asked"]
        if found != asked:
            raise ValueError(f"{part.folder} has {found} of its {asked} episodes; repeat its command first")
    count = first.shard.count
    if lacking := [f"{number}/{count}" for number in range(1, count + 1) if number not in owners]:
        raise ValueError(f"shard {', '.join(lacking)} is missing; give the folders of all {count} shards")
    _check_episodes(parts)


def _check_episodes(parts: Sequence[Part]) -> None:
    """Each episode is in one shard, and dealt anew they are where they were."""
    owners: dict[Episode, Path] = {}
    for part in parts:
        for episode in part.episodes:
            if episode in owners:
                raise ValueError(
                    f"{episode.key} is in {owners[episode]} and in {part.folder}; run shards of one command"
                )
            owners[episode] = part.folder
    for part in parts:
        if part.shard.of(owners) != sorted(part.episodes):
            raise ValueError(
                f"{part.folder} has other episodes than shard {part.shard} has of all; run shards of one "
                "command"
            )


def _join_lines(
    parts: Sequence[Part], out: Path, config: dict[str, Any], episodes: Sequence[Episode], control: str
) -> dict[Episode, EpisodeResult]:
    """Write the shards' results in the order of their identities, those of the agent or of a control."""

    def within(folder: Path) -> Path:
        return arm_folder(folder, control) if control else folder

    found = {r.episode: r for part in parts for r in read_results(within(part.folder))}
    store = EpisodeStore(within(out), config)
    try:
        for episode in episodes:
            if episode in found:
                store.append(found[episode])
        return store.results()
    finally:
        store.close()


def _copy_pictures(parts: Sequence[Part], out: Path, episodes: Sequence[Episode]) -> None:
    """Videos, actions that a control repeats, and what the agent saw first."""
    for part in parts:
        for name in ("videos", arm_folder(Path(), "replay") / "actions"):
            if (part.folder / name).is_dir():
                shutil.copytree(part.folder / name, out / name, dirs_exist_ok=True)
    first = next(part for part in parts if episodes[0] in part.episodes)
    picture = first.folder / "first_observation.png"
    if picture.is_file():
        shutil.copy(picture, out)
