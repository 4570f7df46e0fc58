"""Finding a checkpoint: a folder, or the name of one that ships with the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from omegaconf import DictConfig

from playloop.cli.arguments import nearest


def find_checkpoint(word: str) -> Path:
    """The folder that `word` names; a folder of that name goes before a shipped checkpoint.

    Raises:
        FileNotFoundError: it is neither; with the nearest shipped name.
    """
    if Path(word).is_dir():
        return Path(word)
    shipped = shipped_checkpoints()
    if word in shipped:
        return shipped[word]
    hint = nearest(word, shipped) if shipped else " (none is shipped)"
    raise FileNotFoundError(f"{word} is neither a checkpoint folder nor a shipped checkpoint{hint}.")


def find_checkpoints(settings: DictConfig) -> None:
    """Replace every checkpoint that an agent's or environment's settings name, at any depth, by its folder.

    Raises:
        FileNotFoundError: one of them is neither a folder nor shipped.
    """
    for name, value in settings.items():
        if isinstance(value, DictConfig):
            find_checkpoints(value)
        elif name in ("checkpoint", "inverse") and value is not None:
            settings[name] = str(find_checkpoint(value))


def shipped_checkpoints() -> dict[str, Path]:
    """Name → folder, of policies and of world models."""
    found: dict[str, Path] = {}
    for package in ("playloop.policies", "playloop.worlds"):
        home = Path(str(resources.files(package))) / "checkpoints"
        found |= {path.name: path for path in sorted(home.glob("*")) if (path / "config.json").is_file()}
    return found
